"""What a chunk defines under a name, language by language."""

from typing import NamedTuple

import pytest

from actors.index.definitions import definitions, fit, normalised
from actors.messages import Chunk


class Case(NamedTuple):
    language: str
    symbol: str
    text: str
    name: str
    expected: list[tuple[int, int, str, str, str]]
    """First and last line, qualified name, kind, signature."""


PYTHON_CLASS = '''\
class Store:
    """Keeps def decoy( in its text."""

    def __init__(
        self,
        root: str,
    ) -> None:
        self.root = root

    async def load(self, path):
        return open(path)


def load(path):
    return Store(path).load(path)
'''
PYTHON_NESTED = """\
def outer(items):
    def inner(item):
        return inner(item)

    return map(inner, items)
"""
JAVASCRIPT = """\
export class Store {
  static async load(path) {
    return load(path);
  }
  #key(path) { return path; }
  save = async (path) => {
    await load(path);
  };
}
export const load = async (path) => {
  return fetch(path);
};
module.exports.drop = function (path) {};
export default function* walk(top) {}
"""
TYPESCRIPT = """\
export interface Shape {
  area(unit: string): number;
}
type Pair<T> = [T, T];
export abstract class Square implements Shape {
  public area(unit: string): number {
    return area(unit);
  }
}
export const enum Color { Red }
declare namespace Shapes {}
"""
GO = """\
type (
	Cache struct {
		size int
	}
	Getter interface{ Get() }
)

type Key = string

func (c *Cache) Get(key Key) string {
	return Get(key)
}

func Get[K any](key K) string { return "" }
"""
RUST = """\
pub struct Cache<'a> { size: &'a str }

impl<'a> Cache<'a> {
    pub(crate) async fn get(&self) -> u8 { get(1) }
}

impl fmt::Display for Cache<'_> {}

pub trait Getter {}
macro_rules! twice { () => {} }
mod inner {}
pub const fn get(size: u8) -> u8 { size }
"""
JAVA = """\
@Entity
public final class Store<T> extends Base {
  Store(String root) {
    this(root, load(root));
  }

  @Override
  public List<Map<String, T>> load(
      String path) throws IOException {
    return load(path, new Store<>(path));
  }

  abstract void save(String path);
}
record Point(int x) {}
@interface Marked {}
"""
C = """\
#define CLAMP(x) ((x) < 0 ? 0 : (x))

typedef struct point {
  int x;
} point_t;

static char *
parse(const char *line)
{
  return parse(line + 1);
}

int compare(int a, int b);
enum color { RED };
"""
CPP = """\
namespace web {
template <typename T>
class Server final : public Base {
 public:
  explicit Server(int port) : port_(port) {}
  ~Server();
  int port() const noexcept { return port_; }
};
}

void web::Server::listen(const std::string& host) {
  socket->listen(host);
}
using Ports = std::vector<int>;
"""
CSHARP = """\
public record struct Point(int X);
public sealed class Store : IStore {
  public Store(string root) : base(root) { }
  public async Task<string> Load(string path) => await Load(path, 1);
  public delegate void Changed(object sender);
}
"""
RUBY = """\
module Web
  class Server
    def self.open(port)
      new(port)
    end

    def open?
      true
    end
  end
end
"""
PHP = """\
final class Store {
    public static function &load(string $path): string {
        return load($path);
    }
}
function load($path) {}
"""
KOTLIN = """\
enum class Color { RED }
data class Store(val root: String) {
    suspend fun <T> load(path: String): T = load(path)
}
fun String.load(): String = this
typealias Paths = List<String>
"""
SWIFT = """\
public struct Store {
    public init(root: String) {
        self.root = root
    }
    mutating func load(path: String) -> String { load(path: path) }
}
extension Store: Codable {}
protocol Loader {}
"""
SHELL = """\
function load {
  cat "$1"
}
save() {
  load "$1"
}
"""
LUA = """\
local function load(path)
  return load(path)
end
function Store:save(path) end
Store.drop = function(path) end
"""
MARKDOWN = """\
# Guide

Text.

## Install, run

```
# Linux
```

Linux
-----

Text.
"""

CASES = [
    Case("python", "Store", PYTHON_CLASS, "Store", [(1, 11, "Store", "class", "class Store:")]),
    Case(
        "python",
        "Store, load",
        PYTHON_CLASS,
        "load",
        [
            (10, 11, "Store.load", "method", "async def load(self, path):"),
            (14, 15, "load", "function", "def load(path):"),
        ],
    ),
    Case(
        "python",
        "Store, load",
        PYTHON_CLASS,
        "Store.__init__",
        [(4, 8, "Store.__init__", "method", "def __init__( self, root: str, ) -> None:")],
    ),
    Case("python", "Store, load", PYTHON_CLASS, "decoy", []),
    Case(
        "python",
        "outer",
        PYTHON_NESTED,
        "inner",
        [(2, 3, "outer.inner", "function", "def inner(item):")],
    ),
    Case(
        "javascript",
        "Store, load",
        JAVASCRIPT,
        "load",
        [
            (2, 4, "Store.load", "method", "static async load(path)"),
            (10, 12, "load", "function", "export const load = async (path) =>"),
        ],
    ),
    Case(
        "javascript",
        "Store",
        JAVASCRIPT,
        "save",
        [(6, 8, "Store.save", "method", "save = async (path) =>")],
    ),
    Case(
        "javascript",
        "",
        JAVASCRIPT,
        "key",
        [(5, 5, "Store.key", "method", "#key(path) { return path; }")],
    ),
    Case(
        "javascript",
        "drop",
        JAVASCRIPT,
        "drop",
        [(13, 13, "drop", "function", "module.exports.drop = function (path) {};")],
    ),
    Case(
        "javascript",
        "walk",
        JAVASCRIPT,
        "walk",
        [(14, 14, "walk", "function", "export default function* walk(top) {}")],
    ),
    Case(
        "typescript",
        "Shape",
        TYPESCRIPT,
        "area",
        [
            (2, 2, "Shape.area", "method", "area(unit: string): number;"),
            (6, 8, "Square.area", "method", "public area(unit: string): number"),
        ],
    ),
    Case("typescript", "", TYPESCRIPT, "Pair", [(4, 4, "Pair", "type", "type Pair<T> = [T, T];")]),
    Case(
        "tsx",
        "",
        TYPESCRIPT,
        "Color",
        [(10, 10, "Color", "enum", "export const enum Color { Red }")],
    ),
    Case(
        "typescript",
        "",
        TYPESCRIPT,
        "Shapes",
        [(11, 11, "Shapes", "module", "declare namespace Shapes {}")],
    ),
    Case(
        "go",
        "Cache.Get, Get",
        GO,
        "Get",
        [
            (10, 12, "Cache.Get", "method", "func (c *Cache) Get(key Key) string"),
            (14, 14, "Get", "function", 'func Get[K any](key K) string { return "" }'),
        ],
    ),
    Case("go", "Cache", GO, "Cache", [(2, 4, "Cache", "struct", "Cache struct")]),
    Case("go", "", GO, "Getter", [(5, 5, "Getter", "interface", "Getter interface{ Get() }")]),
    Case("go", "", GO, "Key", [(8, 8, "Key", "type", "type Key = string")]),
    Case(
        "rust",
        "Cache",
        RUST,
        "Cache",
        [
            (1, 1, "Cache", "struct", "pub struct Cache<'a> { size: &'a str }"),
            (3, 5, "Cache", "extension", "impl<'a> Cache<'a>"),
            (7, 7, "Cache", "extension", "impl fmt::Display for Cache<'_> {}"),
        ],
    ),
    Case(
        "rust",
        "Cache.get, get",
        RUST,
        "get",
        [
            (4, 4, "Cache.get", "method", "pub(crate) async fn get(&self) -> u8 { get(1) }"),
            (12, 12, "get", "function", "pub const fn get(size: u8) -> u8 { size }"),
        ],
    ),
    Case("rust", "", RUST, "Display", []),
    Case(
        "rust", "", RUST, "twice", [(10, 10, "twice", "macro", "macro_rules! twice { () => {} }")]
    ),
    Case(
        "java",
        "Store",
        JAVA,
        "Store",
        [
            (2, 14, "Store", "class", "public final class Store<T> extends Base"),
            (3, 5, "Store.Store", "method", "Store(String root)"),
        ],
    ),
    Case(
        "java",
        "Store",
        JAVA,
        "Store.load",
        [
            (
                8,
                11,
                "Store.load",
                "method",
                "public List<Map<String, T>> load( String path) throws IOException",
            )
        ],
    ),
    Case(
        "java",
        "Store",
        JAVA,
        "save",
        [(13, 13, "Store.save", "method", "abstract void save(String path);")],
    ),
    Case("java", "", JAVA, "Point", [(15, 15, "Point", "class", "record Point(int x) {}")]),
    Case(
        "c", "CLAMP", C, "CLAMP", [(1, 1, "CLAMP", "macro", "#define CLAMP(x) ((x) < 0 ? 0 : (x))")]
    ),
    Case("c", "point", C, "point", [(3, 5, "point", "struct", "typedef struct point")]),
    Case("c", "point", C, "point_t", [(5, 5, "point_t", "type", "} point_t;")]),
    Case("c", "parse", C, "parse", [(8, 11, "parse", "function", "parse(const char *line)")]),
    Case("c", "", C, "compare", []),
    Case(
        "cpp",
        "web.Server",
        CPP,
        "Server",
        [
            (3, 8, "web.Server", "class", "class Server final : public Base"),
            (5, 5, "web.Server.Server", "method", "explicit Server(int port) : port_(port) {}"),
        ],
    ),
    Case(
        "cpp",
        "web.Server.listen",
        CPP,
        "web::Server::listen",
        [
            (
                11,
                13,
                "web.Server.listen",
                "method",
                "void web::Server::listen(const std::string& host)",
            )
        ],
    ),
    Case("cpp", "", CPP, "Ports", [(14, 14, "Ports", "type", "using Ports = std::vector<int>;")]),
    Case(
        "csharp",
        "Store",
        CSHARP,
        "Load",
        [
            (
                4,
                4,
                "Store.Load",
                "method",
                "public async Task<string> Load(string path) => await Load(path, 1);",
            )
        ],
    ),
    Case(
        "csharp",
        "",
        CSHARP,
        "Point",
        [(1, 1, "Point", "struct", "public record struct Point(int X);")],
    ),
    Case(
        "ruby",
        "Web.Server",
        RUBY,
        "open",
        [(3, 5, "Web.Server.open", "method", "def self.open(port)")],
    ),
    Case("ruby", "Web.Server", RUBY, "open?", [(7, 9, "Web.Server.open?", "method", "def open?")]),
    Case(
        "php",
        "Store, load",
        PHP,
        "load",
        [
            (
                2,
                4,
                "Store.load",
                "method",
                "public static function &load(string $path): string",
            ),
            (6, 6, "load", "function", "function load($path) {}"),
        ],
    ),
    Case(
        "kotlin",
        "Color, Store, load",
        KOTLIN,
        "Store.load",
        [(3, 3, "Store.load", "method", "suspend fun <T> load(path: String): T = load(path)")],
    ),
    Case("kotlin", "", KOTLIN, "Color", [(1, 1, "Color", "enum", "enum class Color { RED }")]),
    Case(
        "swift",
        "Store",
        SWIFT,
        "Store",
        [
            (1, 6, "Store", "struct", "public struct Store"),
            (7, 7, "Store", "extension", "extension Store: Codable {}"),
        ],
    ),
    Case(
        "swift",
        "Store",
        SWIFT,
        "Store.init",
        [(2, 4, "Store.init", "method", "public init(root: String)")],
    ),
    Case("shell", "load, save", SHELL, "load", [(1, 3, "load", "function", "function load")]),
    Case("shell", "load, save", SHELL, "save", [(4, 6, "save", "function", "save()")]),
    Case("lua", "load", LUA, "load", [(1, 3, "load", "function", "local function load(path)")]),
    Case(
        "lua",
        "Store:save",
        LUA,
        "save",
        [(4, 4, "Store:save", "function", "function Store:save(path) end")],
    ),
    Case(
        "markdown",
        "Guide, Guide > Install, run, Guide > Linux",
        MARKDOWN,
        "Linux",
        [(11, 14, "Guide > Linux", "heading", "Linux")],
    ),
    Case("markdown", "Guide", MARKDOWN, "Guide", [(1, 4, "Guide", "heading", "# Guide")]),
    Case("text", "notes", "def notes(): pass", "notes", []),
]


@pytest.mark.parametrize(
    "case", CASES, ids=lambda case: f"{case.language}-{case.name}".replace(":", "")
)
def test_definitions_are_told_by_how_they_begin(case):
    text = case.text.rstrip("\n")
    chunk = Chunk("a", 1, 1 + text.count("\n"), case.language, case.symbol, text)
    found = definitions(chunk, normalised(case.name))
    got = [(d.start_line, d.end_line, d.symbol, d.kind, d.signature) for d in found]
    assert got == case.expected


def test_lines_are_those_of_the_file():
    chunk = Chunk("a.py", 100, 104, "python", "f", "\n\ndef f():\n    pass\n")
    (found,) = definitions(chunk, "f")
    assert (found.start_line, found.end_line) == (102, 103)


def test_a_name_that_the_symbol_has_no_room_for_is_in_the_scope_of_the_others():
    text = "\n".join(f"    def f{n}(self): ..." for n in range(9))
    chunk = Chunk("a.py", 2, 10, "python", "A.f0, A.f1, A.f2", text)
    (found,) = definitions(chunk, "f7")
    assert (found.symbol, found.kind, found.start_line) == ("A.f7", "method", 9)


def test_methods_of_one_name_are_told_apart():
    text = "    def run(self): ...\n\nclass B:\n    def run(self): ..."
    chunk = Chunk("a.py", 5, 8, "python", "A.run, B", text)
    assert [d.symbol for d in definitions(chunk, "run")] == ["A.run", "B.run"]
    assert [d.start_line for d in definitions(chunk, "B.run")] == [8]


def test_a_symbol_fits_as_a_whole_or_by_its_end_and_best_in_the_same_case():
    assert [fit(symbol, "load") for symbol in ("load", "A.load", "Load", "A.Load")] == [0, 1, 2, 3]
    assert [fit(symbol, "Linux") for symbol in ("Guide > Linux", "A:linux")] == [1, 3]
    assert fit("A.reload", "load") is None
    assert fit("load.A", "load") is None


def test_crafted_text_takes_no_longer_than_text():
    for language in ("javascript", "cpp", "rust", "typescript", "java"):
        for piece in ("f(", "f<", "f = (", "impl<", "f ->", "const f = a.", "f(a) : b("):
            chunk = Chunk("a", 1, 1, language, "f", (piece * 4000)[:16_000])
            definitions(chunk, "f")
