"""Each language is cut at its own definitions, under its own names."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from cluster.ingest.chunk import chunk


class Case(NamedTuple):
    language: str
    statement: str
    source: str
    expected: list[tuple[int, int, str]]


ROWS = 12
"""How many statements replace each `@@`: enough for a chunk of its own, four for a split class."""

CASES = [
    Case(
        "python",
        "        value = compute(value, other, third)",
        '''"""What it is."""
import os

LIMIT = 3


# About load.
@cached
def load(path):
@@

class Store(Base):
    """Keeps."""

    @property
    def first(self):
@@

    # About second.
    async def second(self):
@@

    def third(self):
@@

    def fourth(self):
@@


def one(): return 1
def two(): return 2
''',
        [
            (1, 21, "load"),
            (23, 39, "Store.first"),
            (41, 54, "Store.second"),
            (56, 68, "Store.third"),
            (70, 86, "Store.fourth, one, two"),
        ],
    ),
    Case(
        "javascript",
        "    value = compute(value, other, third);",
        """import fs from "fs";
const LIMIT = 3;

/** About load. */
export async function load(path) {
@@
}

export default class Store extends Base {
  #size = 0;

  get first() {
@@
  }

  // About second.
  second() {
@@
  }
  static third = async () => {
@@
  };
  fourth() {
@@
  }
}

const arrow = (a) => {
@@
};

Store.prototype.fifth = function () {
@@
};
module.exports.sixth = () => {
@@
};
""",
        [
            (1, 18, "load"),
            (20, 36, "Store.first"),
            (38, 52, "Store.second"),
            (53, 66, "Store.third"),
            (67, 81, "Store.fourth"),
            (83, 96, "arrow"),
            (98, 111, "Store.fifth"),
            (112, 125, "sixth"),
        ],
    ),
    Case(
        "typescript",
        "    value: Some<Longer, Type>[] | undefined;",
        """import fs from "fs";
type Id = string;

@Injectable()
export class Store<T> {
  // About first.
  @Input()
  first(a: {
@@
  }): void {}
  second = (a: {
@@
  }): T => {};
  abstract third(a: {
@@
  }): void;
  fourth(a: {
@@
  }): void {}
}
export interface Shape {
@@
}
export const make = <T,>(x: {
@@
}): T => {};
""",
        [
            (1, 21, "Id, Store, Store.first"),
            (22, 35, "Store.second"),
            (36, 49, "Store.third"),
            (50, 64, "Store.fourth"),
            (65, 78, "Shape"),
            (79, 92, "make"),
        ],
    ),
    Case(
        "tsx",
        "      <Item value={value} other={other} />",
        """export function List({ items }: Props): JSX.Element {
  return (
    <ul>
@@
    </ul>
  );
}
const Row = (props: Props) => {
  return (
    <ul>
@@
    </ul>
  );
};
""",
        [(1, 18, "List"), (19, 36, "Row")],
    ),
    Case(
        "go",
        "\tvalue func(one, two, three int) error",
        """package store

import "fmt"

// Context carries.
type Context struct {
@@
}

// JSON writes.
func (c *Context) JSON(a struct {
@@
}) error {
}

func (s Set[T]) Add(a struct {
@@
}) {
}

func Load(a struct {
@@
}) {
}
""",
        [
            (1, 19, "Context"),
            (21, 36, "Context.JSON"),
            (38, 52, "Set.Add"),
            (54, 68, "Load"),
        ],
    ),
    Case(
        "rust",
        "        value: Some<Longer, Kind, Of, Type>,",
        """//! Crate.
use std::fmt;

/// About Store.
#[derive(Debug)]

pub struct Store<T> {
@@
}

impl<T: Clone> fmt::Display for Store<T> {
    /// About fmt.
    #[inline]
    fn fmt(
@@
    ) {}
    fn second(
@@
    ) {}
    fn third(
@@
    ) {}
    fn fourth(
@@
    ) {}
}

mod deep {
    trait Shape { fn area(&self); }
}
""",
        [
            (1, 20, "Store"),
            (22, 38, "Store.fmt"),
            (39, 52, "Store.second"),
            (53, 66, "Store.third"),
            (67, 85, "Store.fourth, deep.Shape"),
        ],
    ),
    Case(
        "java",
        "        Some<Longer, Type> value = compute();",
        """package a.b;

import java.util.List;

/** About Store. */
@Ann
public class Store<T> extends Base {
    private int size = 0;

    /** About first. */
    @Override
    public int first(int a) {
@@
    }

    Store() {
@@
    }

    interface Shape {
@@
    }

    class Inner {
@@
    }
}
record Point(int x) {
@@
}
""",
        [
            (1, 25, "Store, Store.first"),
            (27, 40, "Store.Store"),
            (42, 55, "Store.Shape"),
            (57, 71, "Store.Inner"),
            (72, 85, "Point"),
        ],
    ),
    Case(
        "c",
        "    unsigned long some_longer_value_name;",
        """#include <stdio.h>
#define LIMIT 3

/* About store. */
struct store {
@@
};

typedef struct {
@@
} point_t;

static char *load(const char *path)
{
@@
}

#ifdef DEEP
int save(void) {
@@
}
int wipe(void) {
@@
}
int wait_for(void) {
@@
}
int end(void) {
@@
}
#endif
""",
        [
            (1, 18, "store"),
            (20, 33, "point_t"),
            (35, 49, "load"),
            (51, 65, "save"),
            (66, 79, "wipe"),
            (80, 93, "wait_for"),
            (94, 108, "end"),
        ],
    ),
    Case(
        "cpp",
        "        unsigned long some_longer_value_name;",
        """#pragma once
#include <vector>

namespace ns {

// About Store.
template <typename T>
class Store : public Base {
public:
    Store() {
@@
    }
    ~Store() {
@@
    }
private:
    int &second() const {
@@
    }
    bool operator==(const Store &other) {
@@
    }
};

int Store<int>::load(int *a) {
@@
}

}  // namespace ns

extern "C" {
int save(void) {
@@
}
}
""",
        [
            (1, 23, "ns, ns.Store, ns.Store.Store"),
            (24, 37, "ns.Store.~Store"),
            (38, 52, "ns.Store.second"),
            (53, 67, "ns.Store.operator=="),
            (69, 84, "ns.Store.load"),
            (86, 101, "save"),
        ],
    ),
    Case(
        "markdown",
        "Some words that fill a paragraph of text.",
        """---
title: Not a heading
# nor this
---
Before the first heading.
@@

# Guide
@@

## Install
```sh
# no heading
@@
```

### On `Linux` [here](x.md) ##
@@

Setext
------
@@

# Rest
@@
""",
        [
            (1, 17, ""),
            (19, 31, "Guide"),
            (33, 48, "Guide > Install"),
            (50, 62, "Guide > Install > On Linux here"),
            (64, 77, "Guide > Setext"),
            (79, 91, "Rest"),
        ],
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.language)
def test_definitions_keep_their_chunk_their_comments_and_their_name(case: Case) -> None:
    text = case.source.replace("@@", "\n".join([case.statement] * ROWS))
    chunks = chunk("some/file", text, case.language)
    assert [(each.start_line, each.end_line, each.symbol) for each in chunks] == case.expected
    assert {(each.path, each.language) for each in chunks} == {("some/file", case.language)}
