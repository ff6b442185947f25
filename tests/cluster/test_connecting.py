"""Clients' files get our server and lose it again, and nothing else in them changes."""

import json
import stat
import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.errors import InvalidRequest
from cluster import connecting_json
from cluster.connecting import CLIENTS, connected, disconnected, snippet
from cluster.connecting_files import Edit

COMMAND = "/opt/shoal/bin/shoal"
JSON_CLIENTS = [name for name in CLIENTS if name != "codex"]
OTHER = '{"command": "other", "args": ["-y"]}'


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A user without any client, in an empty project."""
    for name in ("CLAUDE_CONFIG_DIR", "CODEX_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("sys.platform", "linux")
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    return tmp_path


def write(name, content, scope="user"):
    file = CLIENTS[name].file(scope)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


def connect(name, scope="user", command=COMMAND, **env):
    client = CLIENTS[name]
    edit = connected(client, scope, client.entry(command, env))
    edit.carry_out()
    return edit


def disconnect(name, scope="user"):
    edit = disconnected(CLIENTS[name], scope)
    edit.carry_out()
    return edit


def servers(name, scope="user"):
    text = CLIENTS[name].file(scope).read_bytes().decode("utf-8-sig")
    document = tomllib.loads(text) if name == "codex" else connecting_json.read(text)
    return document[CLIENTS[name].servers]


@pytest.mark.parametrize(
    ("name", "user", "project"),
    [
        ("claude-code", ".claude.json", ".mcp.json"),
        ("cursor", ".cursor/mcp.json", ".cursor/mcp.json"),
        ("vscode", ".config/Code/User/mcp.json", ".vscode/mcp.json"),
        ("codex", ".codex/config.toml", ".codex/config.toml"),
    ],
)
def test_each_client_has_a_file_for_all_projects_and_one_for_this(home, name, user, project):
    client = CLIENTS[name]
    assert client.file("user") == home / user
    assert client.file("project") == home / "project" / project


def test_clients_that_were_moved_are_found(home, monkeypatch):
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(home / "c"))
    monkeypatch.setenv("CODEX_HOME", str(home / "x"))
    assert CLIENTS["claude-code"].file("user") == home / "c" / ".claude.json"
    assert CLIENTS["codex"].file("user") == home / "x" / "config.toml"


@pytest.mark.parametrize("scope", ["user", "project"])
@pytest.mark.parametrize("name", CLIENTS)
def test_a_file_that_was_not_there_comes_and_goes(name, scope):
    connect(name, scope, SHOAL_ROOT="/data/mine")
    entry = servers(name, scope)["shoal"]
    assert (entry["command"], entry["args"]) == (COMMAND, ["mcp"])
    assert entry["env"] == {"SHOAL_ROOT": "/data/mine"}
    disconnect(name, scope)
    assert not CLIENTS[name].file(scope).exists()


@pytest.mark.parametrize("name", CLIENTS)
def test_what_is_printed_for_pasting_is_what_would_be_written(name):
    client = CLIENTS[name]
    edit = connect(name)
    assert snippet(client, "user", client.entry(COMMAND, {})) == edit.after.decode()


@pytest.mark.parametrize("name", CLIENTS)
def test_a_second_time_changes_nothing(name):
    connect(name)
    edit = connect(name)
    assert edit.before == edit.after
    disconnect(name)
    edit = disconnect(name)
    assert edit.before is edit.after is None


LAYOUTS = {
    "plain": '{\n  "mcpServers": {\n    "other": OTHER\n  }\n}\n',
    "four spaces": '{\n    "mcpServers": {\n        "other": OTHER\n    }\n}',
    "tabs": '{\n\t"mcpServers": {\n\t\t"other": OTHER\n\t},\n\t"z": 1\n}\n',
    "no servers": '{\n  "theme": "dark",\n  "numbers": [1.0, 1e3, 12345678901234567890]\n}\n',
    "on one line": '{"mcpServers": {"other": OTHER}, "b": [1, 2]}',
    "minified": '{"mcpServers":{"other":OTHER},"b":[1,2]}',
    "comments": '// mine\n{\n  /* , } */ "mcpServers": { // here\n    "other": OTHER // , "x": {}\n'
    "    // the end\n  } // of it\n}\n// really\n",
    "trailing commas": '{\n  "mcpServers": {\n    "other": OTHER,\n  },\n}\n',
    "a comment after the last comma": '{\n  "mcpServers": {\n    "other": OTHER, // last\n  }\n}\n',
    "strings that look like more": '{\n  "a": "// no comment, }{",\n  "b": "\\"mcpServers\\": {",\n'
    '  "mcpServers": {\n    "other": OTHER\n  }\n}\n',
    "the same name elsewhere": '{\n  "projects": {\n    "/x": {\n      "mcpServers": {\n'
    '        "shoal": {}\n      }\n    }\n  },\n  "mcpServers": {\n    "other": OTHER\n  }\n}\n',
    "other people's letters": '{\n  "mcpServers": {\n    "òther \U0001f41f": OTHER\n  }\n}\n',
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", JSON_CLIENTS)
def test_json_is_byte_for_byte_what_it_was_once_it_is_undone(name, layout):
    table = CLIENTS[name].servers
    text = LAYOUTS[layout].replace("OTHER", OTHER).replace("mcpServers", table)
    file = write(name, text)
    connect(name)
    after = file.read_text()
    known = connecting_json.read(text)
    document = connecting_json.read(after)
    ours = document[table].pop("shoal")
    assert ours["command"] == COMMAND
    assert document == {**known, table: known.get(table, {})}
    disconnect(name)
    assert file.read_text() == text


def test_json_is_written_as_its_file_is(home):
    write("cursor", '{\n\t"mcpServers": {\n\t\t"other": 1\n\t}\n}\n')
    connect("cursor")
    assert (home / ".cursor/mcp.json").read_text() == (
        '{\n\t"mcpServers": {\n\t\t"other": 1,\n\t\t"shoal": {\n\t\t\t"type": "stdio",\n'
        f'\t\t\t"command": "{COMMAND}",\n\t\t\t"args": [\n\t\t\t\t"mcp"\n\t\t\t]\n'
        "\t\t}\n\t}\n}\n"
    )


@pytest.mark.parametrize("text", ["", " \n", "// nothing yet\n", "{}", "{ }\n", "{\n}\n"])
def test_an_empty_file_is_taken_as_an_empty_object(text):
    file = write("vscode", text)
    connect("vscode")
    assert servers("vscode")["shoal"]["command"] == COMMAND
    assert text.strip(" \n{}") in file.read_text()
    disconnect("vscode")
    assert not file.exists() or "nothing yet" in file.read_text()


def test_servers_that_were_taken_out_first_leave_a_file_in_order():
    write("cursor", "{}")
    connect("cursor")
    text = CLIENTS["cursor"].file("user").read_text()
    write("cursor", connecting_json.with_member(text, ("mcpServers", "later"), {"command": "x"}))
    disconnect("cursor")
    assert servers("cursor") == {"later": {"command": "x"}}


TOML = {
    "plain": 'model = "x"\n\n[mcp_servers.other]\ncommand = "other"\n',
    "no end of line": 'model = "x"',
    "dates and floats": "when = 1979-05-27T07:32:00Z\nnumber = 1e3\nnan = inf\n",
    "comments": '# mine\n[mcp_servers.other] # here\ncommand = "x" # [mcp_servers.shoal]\n# end\n',
    "empty lines at the end": "a = 1\n\n\n",
    "an array of tables": "[[profiles]]\na = 1\n[[profiles]]\na = 2\n",
    "a text with brackets": 'text = """\n[mcp_servers.fake]\n"""\n',
}


@pytest.mark.parametrize("layout", TOML)
def test_toml_is_what_it_was_once_it_is_undone(layout):
    text = TOML[layout]
    file = write("codex", text)
    connect("codex", SHOAL_ROOT='/with "quotes" and \\')
    after = file.read_text()
    assert after.startswith(text)
    document = tomllib.loads(after)
    assert document["mcp_servers"].pop("shoal")["env"] == {"SHOAL_ROOT": '/with "quotes" and \\'}
    known = tomllib.loads(text)
    assert document == {**known, "mcp_servers": known.get("mcp_servers", {})}
    disconnect("codex")
    assert file.read_text() == text + ("" if text.endswith("\n") else "\n")


def test_a_toml_table_is_taken_out_of_the_middle_with_all_inside_it():
    file = write(
        "codex",
        "# top\n[mcp_servers.shoal]\ncommand = 'x'\nargs = [\n  'a',\n]\n\n"
        '[mcp_servers."shoal".env]\nA = "1"\n\n# of b\n[b]\nc = 1\n\n'
        "[mcp_servers.shoal.tools.search]\napproval = 'x'\n",
    )
    disconnect("codex")
    assert file.read_text() == "# top\n\n# of b\n[b]\nc = 1\n"


@pytest.mark.parametrize(
    "text",
    [
        "mcp_servers = {}\n",
        "[mcp_servers]\nshoal = { command = 'x' }\n",
        "[mcp_servers.shoal]\ncommand = 'old' # by hand\n",
        "[mcp_servers.shoal]\nargs = [\n  'x',\n]\n",
        "[mcp_servers.shoal.env]\nA = '1'\n",
    ],
)
def test_toml_that_cannot_be_edited_without_loss_is_left_alone(text):
    file = write("codex", text)
    with pytest.raises(InvalidRequest, match=r"(?s)without loss; write .*\[mcp_servers.shoal"):
        connect("codex", SHOAL_ROOT="/x")
    assert file.read_text() == text


def test_json_with_comments_in_what_would_be_replaced_is_left_alone():
    text = '{"mcpServers": {"shoal": {"args": ["x" /* mine */]}}}'
    file = write("cursor", text)
    with pytest.raises(InvalidRequest, match="without loss"):
        connect("cursor")
    assert file.read_text() == text


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("claude-code", '{"mcpServers": '),
        ("claude-code", "[]"),
        ("cursor", '{"a": 1}}'),
        ("cursor", b'{"a": "\xff"}'),
        ("vscode", "{'servers': {}}"),
        ("vscode", "[" * 100_000),
        ("codex", "a = "),
        ("codex", "[a]\n[a]\n"),
    ],
)
def test_a_broken_file_is_refused_with_what_to_write(name, content):
    file = write(name, content)
    before = file.read_bytes()
    with pytest.raises(InvalidRequest, match=r"(?s)is broken .*mend it .*write this") as raised:
        connect(name)
    assert str(file) in str(raised.value)
    assert COMMAND in str(raised.value)
    with pytest.raises(InvalidRequest, match="take shoal out"):
        disconnect(name)
    assert file.read_bytes() == before


@pytest.mark.parametrize("text", ['{"mcpServers": []}', '{"mcpServers": {"shoal": "x"}}'])
def test_servers_in_a_form_that_no_client_knows_are_refused(text):
    write("cursor", text)
    with pytest.raises(InvalidRequest, match="not what Cursor expects"):
        connect("cursor")


@pytest.mark.parametrize("name", CLIENTS)
def test_another_command_replaces_the_old_one_and_keeps_what_the_user_added(name):
    connect(name, command="/old/shoal", SHOAL_ROOT="/a")
    file = CLIENTS[name].file("user")
    if name == "codex":
        file.write_text(file.read_text() + "startup_timeout_sec = 20\n")
    else:
        entry = {**servers(name)["shoal"], "startup_timeout_sec": 20}
        file.write_text(json.dumps({CLIENTS[name].servers: {"shoal": entry}}, indent=2))
    connect(name, SHOAL_URL="http://x")
    entry = servers(name)["shoal"]
    assert entry["command"] == COMMAND
    assert entry["startup_timeout_sec"] == 20
    assert entry["env"] == {"SHOAL_ROOT": "/a", "SHOAL_URL": "http://x"}


@pytest.mark.parametrize("name", CLIENTS)
def test_an_entry_that_names_a_url_is_not_mixed_with_a_command(name):
    url = '[mcp_servers.shoal]\nurl = "https://x/mcp"\n'
    if name != "codex":
        url = json.dumps({CLIENTS[name].servers: {"shoal": {"url": "https://x/mcp"}}})
    write(name, url)
    with pytest.raises(InvalidRequest, match="at https://x/mcp already"):
        connect(name)


def test_line_ends_byte_order_mark_and_mode_stay():
    content = b'\xef\xbb\xbf{\r\n  "mcpServers": {\r\n    "a": 1\r\n  }\r\n}\r\n'
    file = write("cursor", content)
    file.chmod(0o600)
    connect("cursor")
    after = file.read_bytes()
    assert after.startswith(b"\xef\xbb\xbf{")
    assert after.count(b"\n") == after.count(b"\r\n") > content.count(b"\n")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    disconnect("cursor")
    assert file.read_bytes() == content
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_link_stays_a_link(home):
    kept = home / "dotfiles.json"
    kept.write_text('{"mcpServers": {"a": 1}}')
    file = CLIENTS["claude-code"].file("user")
    file.symlink_to(kept)
    connect("claude-code")
    assert file.is_symlink()
    assert "shoal" in json.loads(kept.read_text())["mcpServers"]
    assert [path.name for path in home.iterdir() if ".claude" in path.name] == [".claude.json"]


def test_a_file_that_changed_since_it_was_read_is_not_overwritten():
    client = CLIENTS["claude-code"]
    edit = connected(client, "user", client.entry(COMMAND, {}))
    file = write("claude-code", '{"written": "meanwhile"}')
    with pytest.raises(InvalidRequest, match="run this again"):
        edit.carry_out()
    assert json.loads(file.read_text()) == {"written": "meanwhile"}


def test_a_file_that_cannot_be_written_says_so_and_leaves_nothing(home):
    (home / "file").write_text("")
    edit = Edit(home / "file" / "below.json", None, b"{}")
    with pytest.raises(InvalidRequest, match=r"(read|written) \(Not a directory\); --print"):
        edit.carry_out()


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=12,
)


@settings(deadline=None)
@given(
    document=st.dictionaries(st.text(max_size=6), _JSON, min_size=1),
    others=st.none() | st.dictionaries(st.text(max_size=6), _JSON, min_size=1),
    indent=st.sampled_from([None, 1, 2, 4, "\t"]),
    ascii_only=st.booleans(),
)
def test_any_document_survives(document, others, indent, ascii_only):
    known = {**document, **({} if others is None else {"servers": others})}
    if isinstance(known.get("servers"), dict):
        known["servers"].pop("shoal", None)
    text = json.dumps(known, indent=indent, ensure_ascii=ascii_only)
    keys = ("servers", "shoal")
    if not isinstance(known.get("servers", {}), dict):
        return
    after = connecting_json.with_member(text, keys, {"command": "x"})
    expected = {**known.get("servers", {}), "shoal": {"command": "x"}}
    assert connecting_json.read(after) == {**known, "servers": expected}
    undone = connecting_json.without_member(after, keys)
    assert undone == text or known.get("servers") == {}
