// Talks to our server as an application would, and prints what came of it as one JSON document.
//
//     node client.mjs sdk|client|modern ADDRESS
//
// sdk is the TypeScript SDK 1.x, client its successor, modern the same in the era without handshakes;
// an address is a URL, or a command and its arguments.

import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [which, ...address] = process.argv.slice(2);
const require = createRequire(join(process.cwd(), "package.json")); // of the folder that has the packages
const load = async (name) => import(pathToFileURL(require.resolve(name)));

const { Client, StreamableHTTPClientTransport, StdioClientTransport } = await (which === "sdk"
  ? Promise.all(
      ["index", "streamableHttp", "stdio"].map((part) => load(`@modelcontextprotocol/sdk/client/${part}.js`)),
    ).then((parts) => Object.assign({}, ...parts))
  : Promise.all(["", "/stdio"].map((part) => load(`@modelcontextprotocol/client${part}`))).then((parts) =>
      Object.assign({}, ...parts),
    ));

const transport = address[0].startsWith("http")
  ? new StreamableHTTPClientTransport(new URL(address[0]))
  : new StdioClientTransport({ command: address[0], args: address.slice(1), env: { ...process.env } });
const options = which === "modern" ? { versionNegotiation: { mode: "auto" } } : {};
const client = new Client({ name: `test of ${which}`, version: "1" }, options);
await client.connect(transport);

const call = (name, args = {}, options = {}) => {
  const params = { name, arguments: args };
  return which === "sdk" ? client.callTool(params, undefined, options) : client.callTool(params, options);
};
const search = (query, options) => call("search", { query }, options);

const version = which === "sdk" ? transport.protocolVersion : client.getNegotiatedProtocolVersion();
const told = { version, tools: (await client.listTools()).tools.map((tool) => tool.name) };
told.found = (await search("admit")).structuredContent.hits[0].path;
told.refused = (await search("")).isError;

if (told.tools.includes("test_tool_with_progress")) {
  told.progress = [];
  await call("test_tool_with_progress", {}, { onprogress: ({ progress }) => told.progress.push(progress) });
  const resource = await client.readResource({ uri: "test://static-text" });
  told.resource = resource.contents[0].text;
  const prompt = await client.getPrompt({
    name: "test_prompt_with_arguments",
    arguments: { arg1: "a", arg2: "b" },
  });
  told.prompt = prompt.messages[0].content.text;
}

const leaving = new AbortController();
setTimeout(() => leaving.abort(), 300);
told.aborted = await search("hold this search", { signal: leaving.signal }).then(
  () => false,
  () => true,
);
do {
  told.cancelled = (await search("how many?")).structuredContent.hits[0].text;
} while (told.cancelled.startsWith("0")); // bounded by who runs this

await client.close();
console.log(JSON.stringify(told));
