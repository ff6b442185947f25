@echo off
rem Starts Shoal's MCP server over stdio; for the settings of MCP hosts.
rem
rem This process holds no model and no index: they live in the gateway, which the first tool call
rem finds or starts, and which has limits of its own. All settings in SHOAL_... reach both; for
rem memory, see SHOAL_OBJECT_STORE_BYTES, SHOAL_KEEP_ALIVE_S, SHOAL_EMBEDDERS and SHOAL_HOSTS in
rem "shoal config". Windows offers a script no memory limit for the process it starts, so
rem SHOAL_MCP_MEMORY_MB has no effect here. Stdout carries MCP and nothing else.

setlocal
set "program=%~dp0..\.venv\Scripts\shoal.exe"
if exist "%program%" goto start
set "program="
for %%I in (shoal.exe) do set "program=%%~$PATH:I"
if defined program goto start
echo start-mcp-server: shoal is not installed: neither in %~dp0..\.venv nor on PATH; try "pip install shoal" 1>&2
exit /b 127

:start
"%program%" mcp %*
exit /b %ERRORLEVEL%
