"""The calls as an OpenAPI document, and as a page of it."""

from __future__ import annotations

import json
from functools import cache
from html import escape
from typing import TYPE_CHECKING, Any

from asyncconn.sandbox.control.operations import BASE, OPERATIONS

if TYPE_CHECKING:
    from asyncconn.sandbox.control.operations import Operation, Schemas

__all__ = ["openapi", "reference"]

_TITLE = "The sandbox's control"
_ABOUT = (
    "For programs in any language, on this machine. Bodies and answers are JSON; errors are an object with one member, "
    "error. What changes something must be sent with Content-Type: application/json where it has a body."
)
_ERROR = {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]}
_ERRORS = {
    "400": "The body or the query is not as it must be; error says what is wrong.",
    "403": "The request is not from this machine, or from a web page elsewhere.",
    "404": "There is no such thing.",
    "415": "The body is not JSON.",
}


@cache
def openapi() -> dict[str, Any]:
    """Version 3.1."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(BASE + operation.path, {})[operation.method.lower()] = _described(operation)
    info = {"title": _TITLE, "version": "1", "description": _ABOUT}
    return {"openapi": "3.1.0", "info": info, "paths": paths, "components": {"schemas": {"Error": _ERROR}}}


def _described(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {"operationId": operation.name, "summary": operation.summary}
    parameters = [
        {
            "name": name,
            "in": "query",
            "description": schema.get("description", ""),
            "schema": {key: value for key, value in schema.items() if key != "description"},
        }
        for name, schema in operation.query.items()
    ]
    if "{number}" in operation.path:
        parameters.append({"name": "number", "in": "path", "required": True, "schema": {"type": "integer"}})
    if parameters:
        described["parameters"] = parameters
    if operation.body is not None:
        schema = _object(operation.body) | ({"required": list(operation.required)} if operation.required else {})
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    done: dict[str, Any] = {"description": "Done."}
    if operation.answer is not None:
        done["content"] = {operation.media: {"schema": _object(operation.answer)}}
    described["responses"] = {str(operation.status): done} | {
        status: {
            "description": words,
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
        }
        for status, words in _ERRORS.items()
        if status != "415" or operation.body is not None
    }
    return described


def _object(members: Schemas) -> dict[str, Any]:
    return {"type": "object", "properties": members} if members else {"type": "object"}


@cache
def reference() -> str:
    """A page with every call, what it takes and what it answers."""
    listed = "".join(
        f'<li><a href="#{one.name}"><b>{one.method}</b> {escape(BASE + one.path)}</a></li>' for one in OPERATIONS
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{_TITLE}</title>
<link rel="icon" href="{BASE}/page/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="{BASE}/page/style.css">
</head>
<body class="reference">
<a class="skip" href="#calls">To the calls</a>
<header><h1>{_TITLE}</h1>
<nav aria-label="Pages"><a href="/">The page</a> <a href="{BASE}/openapi.json">OpenAPI document</a></nav></header>
<main id="calls">
<p>{escape(_ABOUT)}</p>
<nav aria-label="Calls"><ul class="calls">{listed}</ul></nav>
{"".join(map(_section, OPERATIONS))}
</main>
</body>
</html>
"""


def _section(operation: Operation) -> str:
    parts = [
        f'<section class="panel" aria-labelledby="{operation.name}">',
        f'<h2 id="{operation.name}"><b>{operation.method}</b> <code>{escape(BASE + operation.path)}</code></h2>',
        f"<p>{escape(operation.summary)}</p>",
        _table("Query", operation.query, ()),
        _table("Body", operation.body or {}, operation.required),
        _table(f"Answer {operation.status}", operation.answer or {}, ()),
        f"<p>Answers {operation.status}.</p>" if not operation.answer else "",
        f'<pre tabindex="0" aria-label="An example"><code>{escape(_example(operation))}</code></pre>',
        "</section>\n",
    ]
    return "".join(parts)


def _table(caption: str, members: Schemas, required: Any) -> str:
    if not members:
        return ""
    rows = []
    for name, schema in members.items():
        kind = schema.get("type", "")
        words = [kind if isinstance(kind, str) else " or ".join(kind), "required" if name in required else ""]
        said = escape(schema.get("description", "").replace("`", ""))
        if kinds := schema.get("x-enum-descriptions"):
            said = "".join(
                f"<li><code>{one}</code>: {escape(words.replace('`', ''))}</li>" for one, words in kinds.items()
            )
            said = f"<ul>{said}</ul>"
        if members_of_each := schema.get("items", {}).get("properties"):
            said += f"; each has {escape(', '.join(members_of_each))}"
        if "default" in schema:
            said += f" (unless given: {escape(json.dumps(schema['default']))})"
        about = escape(", ".join(word for word in words if word))
        rows.append(f'<tr><th scope="row"><code>{escape(name)}</code></th><td>{about}</td><td>{said}</td></tr>')
    head = '<thead><tr><th scope="col">Name</th><th scope="col">Type</th><th scope="col">What it is</th></tr></thead>'
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(caption)}"><table>'
        f"<caption>{escape(caption)}</caption>{head}<tbody>{''.join(rows)}</tbody></table></div>"
    )


_EXAMPLES = {
    "add_fault": {"kind": "status", "status": 503, "times": 3, "match": "panoply"},
    "add_stream_fault": {"kind": "kill", "match": "mqtt", "after": 10},
    "switch_fault": {"on": False},
    "switch_stream_fault": {"on": False},
    "move_clock": {"seconds": 60},
    "sql": {"statement": "select name from cities where id = ?", "params": [1]},
}


def _example(operation: Operation) -> str:
    url = f"$SANDBOX{BASE}{operation.path.replace('{number}', '1')}" + ("?last=5" if operation.query else "")
    verb = "" if operation.method == "GET" else f"-X {operation.method} "
    body = "" if operation.body is None else f"--json '{json.dumps(_EXAMPLES[operation.name])}' "
    return f'curl --fail-with-body --no-buffer {verb}{body}"{url}"'
