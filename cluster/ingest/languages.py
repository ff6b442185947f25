"""Which language a file is written in, told by its name."""

from __future__ import annotations

PLAIN_TEXT = "text"
"""The language of a file whose name says nothing."""

_SUFFIXES_OF: dict[str, str] = {
    "python": "py pyi pyw pyx pxd",
    "javascript": "js mjs cjs jsx",
    "typescript": "ts mts cts",
    "tsx": "tsx",
    "go": "go",
    "rust": "rs",
    "java": "java",
    "c": "c h",
    "cpp": "cc cpp cxx c++ hh hpp hxx h++ ipp inl tpp cu cuh",
    "markdown": "md markdown mdx mdown mkd qmd",
    "restructuredtext": "rst",
    "asciidoc": "adoc asciidoc",
    "latex": "tex sty cls",
    "html": "html htm xhtml",
    "xml": "xml xsd xsl xslt svg",
    "css": "css",
    "scss": "scss sass",
    "less": "less",
    "json": "json jsonc json5 jsonl ndjson",
    "yaml": "yaml yml",
    "toml": "toml",
    "ini": "ini cfg conf properties editorconfig",
    "shell": "sh bash zsh fish ksh",
    "powershell": "ps1 psm1 psd1",
    "batch": "bat cmd",
    "csharp": "cs",
    "fsharp": "fs fsi fsx",
    "kotlin": "kt kts",
    "scala": "scala sc",
    "groovy": "groovy gradle",
    "swift": "swift",
    "objectivec": "m mm",
    "ruby": "rb rake gemspec",
    "php": "php phtml",
    "perl": "pl pm t",
    "lua": "lua",
    "r": "r rmd",
    "julia": "jl",
    "haskell": "hs lhs",
    "ocaml": "ml mli",
    "elixir": "ex exs",
    "erlang": "erl hrl",
    "clojure": "clj cljs cljc edn",
    "lisp": "lisp lsp el scm rkt",
    "dart": "dart",
    "zig": "zig",
    "nim": "nim",
    "d": "d",
    "pascal": "pas",
    "fortran": "f f77 f90 f95 f03 f08",
    "assembly": "s asm",
    "sql": "sql",
    "graphql": "graphql gql",
    "protobuf": "proto",
    "thrift": "thrift",
    "terraform": "tf tfvars hcl",
    "nix": "nix",
    "cmake": "cmake",
    "make": "mk mak",
    "vue": "vue",
    "svelte": "svelte",
    "solidity": "sol",
    "verilog": "v sv svh",
    "vhdl": "vhd vhdl",
    "diff": "diff patch",
    "jinja": "jinja jinja2 j2",
    PLAIN_TEXT: "txt text log csv tsv",
}

_BY_SUFFIX: dict[str, str] = {
    suffix: language for language, suffixes in _SUFFIXES_OF.items() for suffix in suffixes.split()
}

_BY_NAME: dict[str, str] = {
    "makefile": "make",
    "gnumakefile": "make",
    "cmakelists.txt": "cmake",
    "dockerfile": "dockerfile",
    "containerfile": "dockerfile",
    "jenkinsfile": "groovy",
    "gemfile": "ruby",
    "rakefile": "ruby",
    "sconstruct": "python",
    "sconscript": "python",
    "build.bazel": "starlark",
    "go.mod": "go-mod",
    "go.sum": "go-mod",
    "cargo.lock": "toml",
    "poetry.lock": "toml",
    "uv.lock": "toml",
    ".bashrc": "shell",
    ".zshrc": "shell",
    ".profile": "shell",
    ".gitconfig": "ini",
    ".gitmodules": "ini",
}

LANGUAGES = tuple(sorted({*_BY_SUFFIX.values(), *_BY_NAME.values()}))
"""All that a file can be written in."""

BINARY_SUFFIXES = frozenset(
    [
        "7z",
        "a",
        "aac",
        "apk",
        "arrow",
        "avi",
        "avif",
        "bin",
        "bmp",
        "br",
        "bz2",
        "class",
        "dat",
        "db",
        "dex",
        "dll",
        "dmg",
        "doc",
        "docx",
        "dylib",
        "ear",
        "egg",
        "eot",
        "exe",
        "feather",
        "flac",
        "flv",
        "gguf",
        "gif",
        "gz",
        "h5",
        "hdf5",
        "heic",
        "ico",
        "iso",
        "jar",
        "jpeg",
        "jpg",
        "lib",
        "lz4",
        "lzma",
        "m4a",
        "mkv",
        "mo",
        "mov",
        "mp3",
        "mp4",
        "npy",
        "npz",
        "o",
        "obj",
        "ogg",
        "onnx",
        "otf",
        "parquet",
        "pb",
        "pdf",
        "pickle",
        "pkl",
        "png",
        "ppt",
        "pptx",
        "pt",
        "pth",
        "pyc",
        "pyd",
        "pyo",
        "rar",
        "rlib",
        "safetensors",
        "so",
        "sqlite",
        "sqlite3",
        "tar",
        "tflite",
        "tgz",
        "tif",
        "tiff",
        "ttf",
        "war",
        "wasm",
        "wav",
        "webm",
        "webp",
        "whl",
        "wmv",
        "woff",
        "woff2",
        "xls",
        "xlsx",
        "xz",
        "zip",
        "zst",
    ]
)
"""Endings of files that are not text, so that they need not be opened to learn it."""


def language_of(path: str) -> str:
    """Tell a file's language by its name.

    Args:
        path: A path with forward slashes.

    Returns:
        A lower-case language name, or `PLAIN_TEXT`.
    """
    name = path.rpartition("/")[2].lower()
    if name in _BY_NAME:
        return _BY_NAME[name]
    if name.startswith("dockerfile."):
        return "dockerfile"
    return _BY_SUFFIX.get(suffix_of(name), PLAIN_TEXT)


def tells_language(path: str) -> bool:
    """Tell whether a file's name says what it is written in, if only that it is plain text."""
    name = path.rpartition("/")[2].lower()
    return language_of(path) != PLAIN_TEXT or suffix_of(name) in _BY_SUFFIX


def suffix_of(name: str) -> str:
    """Return what follows the last dot of a file name, in lower case, or ""."""
    stem, _, suffix = name.rpartition(".")
    return suffix.lower() if stem else ""
