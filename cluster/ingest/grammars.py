"""What each grammar calls the things that a chunk is named after: one language, one row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Fields = tuple[str, ...]

_ANY_ROW = 1 << 40


@dataclass(frozen=True, slots=True)
class Grammar:
    """The node types of one tree-sitter grammar that matter for cutting.

    Attributes:
        parser: The grammar's name.
        definitions: Node types that define something → the fields that together name it. Where
            a grammar has no such field, the type of the child stands for it, here and in holders.
        wrappers: Node types that are what the one definition inside them is.
        holders: Node types that define something if a field holds a function, class or object →
            the fields of the name and of the value.
        leads: Node types that belong to what follows → how many rows below it may begin.
        opened: Node types that are always cut into what they contain, however small.
        defining: All node types that need a closer look: they define, hold or contain.
    """

    parser: str
    definitions: Mapping[str, Fields]
    wrappers: frozenset[str] = frozenset()
    holders: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    leads: Mapping[str, int] = field(default_factory=lambda: _leads("comment"))
    opened: frozenset[str] = frozenset()
    defining: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        """Gather what is asked for most."""
        found = self.opened.union(self.definitions, self.holders, self.wrappers)
        object.__setattr__(self, "defining", found)


def _leads(comments: str, marks: str = "") -> dict[str, int]:
    """Comments belong to what follows on the next row, marks to whatever follows."""
    return dict.fromkeys(comments.split(), 1) | dict.fromkeys(marks.split(), _ANY_ROW)


HELD = frozenset(
    [
        "arrow_function",
        "function_expression",
        "generator_function",
        "function_definition",
        "class",
        "object",
    ]
)
"""Values that make their holder a definition (JavaScript and its kin, Lua)."""

_NAME: Fields = ("name",)


def _named(types: str) -> dict[str, Fields]:
    return dict.fromkeys(types.split(), _NAME)


_JAVASCRIPT = _named(
    "function_declaration generator_function_declaration class_declaration method_definition"
)
_TYPESCRIPT = _JAVASCRIPT | _named(
    """abstract_class_declaration interface_declaration type_alias_declaration enum_declaration
    function_signature method_signature abstract_method_signature internal_module module"""
)
_JAVASCRIPT_WRAPPERS = frozenset(
    [
        "export_statement",
        "lexical_declaration",
        "variable_declaration",
        "expression_statement",
        "ambient_declaration",
    ]
)
_JAVASCRIPT_HOLDERS = {
    "variable_declarator": ("name", "value"),
    "assignment_expression": ("left", "right"),
    "pair": ("key", "value"),
    "field_definition": ("property", "value"),
    "public_field_definition": ("name", "value"),
}
_C = _named("struct_specifier union_specifier enum_specifier preproc_function_def") | {
    "function_definition": ("declarator",),
    "type_definition": ("declarator",),
}
_C_OPENED = frozenset({"preproc_ifdef", "preproc_if", "preproc_else", "preproc_elif"})
_KOTLIN_TYPE: Fields = ("type_identifier",)


def _javascript(parser: str, definitions: Mapping[str, Fields]) -> Grammar:
    return Grammar(
        parser,
        definitions,
        wrappers=_JAVASCRIPT_WRAPPERS,
        holders=_JAVASCRIPT_HOLDERS,
        leads=_leads("comment", "decorator"),
        opened=frozenset({"internal_module", "module"}),
    )


GRAMMARS: dict[str, Grammar] = {
    "python": Grammar(
        "python",
        _named("function_definition class_definition"),
        wrappers=frozenset({"decorated_definition"}),
        leads=_leads("comment", "decorator"),
    ),
    "javascript": _javascript("javascript", _JAVASCRIPT),
    "typescript": _javascript("typescript", _TYPESCRIPT),
    "tsx": _javascript("tsx", _TYPESCRIPT),
    "go": Grammar(
        "go",
        _named("function_declaration type_spec type_alias")
        | {"method_declaration": ("receiver", "name")},
        wrappers=frozenset({"type_declaration"}),
    ),
    "rust": Grammar(
        "rust",
        _named(
            """function_item function_signature_item struct_item enum_item union_item trait_item
            mod_item macro_definition type_item"""
        )
        | {"impl_item": ("type",)},
        leads=_leads("line_comment block_comment", "attribute_item"),
        opened=frozenset({"mod_item"}),
    ),
    "java": Grammar(
        "java",
        _named(
            """class_declaration interface_declaration enum_declaration record_declaration
            annotation_type_declaration method_declaration constructor_declaration
            compact_constructor_declaration"""
        ),
        leads=_leads("line_comment block_comment"),
    ),
    "c": Grammar("c", _C, opened=_C_OPENED),
    "cpp": Grammar(
        "cpp",
        _C | _named("class_specifier namespace_definition concept_definition alias_declaration"),
        wrappers=frozenset({"template_declaration"}),
        leads=_leads("comment", "access_specifier"),
        opened=_C_OPENED | {"namespace_definition", "linkage_specification"},
    ),
    "csharp": Grammar(
        "csharp",
        _named(
            """class_declaration interface_declaration struct_declaration record_declaration
            enum_declaration delegate_declaration method_declaration constructor_declaration
            property_declaration local_function_statement"""
        ),
        opened=frozenset({"namespace_declaration"}),
    ),
    "ruby": Grammar(
        "ruby", _named("module class method singleton_method"), opened=frozenset({"module"})
    ),
    "php": Grammar(
        "php",
        _named(
            """class_declaration interface_declaration trait_declaration enum_declaration
            function_definition method_declaration"""
        ),
        opened=frozenset({"namespace_definition"}),
    ),
    "kotlin": Grammar(
        "kotlin",
        dict.fromkeys(("class_declaration", "object_declaration", "type_alias"), _KOTLIN_TYPE)
        | {"function_declaration": ("simple_identifier",)},
        leads=_leads("line_comment multiline_comment"),
    ),
    "swift": Grammar(
        "swift",
        _named(
            """class_declaration protocol_declaration function_declaration init_declaration
            protocol_function_declaration typealias_declaration"""
        ),
        leads=_leads("comment multiline_comment"),
    ),
    "shell": Grammar("bash", _named("function_definition")),
    "lua": Grammar(
        "lua",
        _named("function_declaration"),
        wrappers=frozenset({"variable_declaration", "expression_list"}),
        holders={"assignment_statement": ("variable_list", "expression_list")},
    ),
}
"""Language, as `languages.language_of` names it → how to cut it."""
