"""The Tollgate page inside Airflow's UI: what is served and why, and the reports of every gate.

Airflow serves a plugin's application without asking who is there, so this one asks: the same login as the UI's.
Everything heavy is imported by the first request, in the API server alone; the other components only read this file.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from airflow.plugins_manager import AirflowPlugin

from include.console.icon import ICON

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

# A report is data that somebody else's file may have shaped: it may show itself and its styles, and run nothing.
# The page itself needs no more; neither asks anybody else for anything.
_POLICY = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


async def _is_logged_in(request: Any) -> bool:
    from airflow.api_fastapi.auth.managers.base_auth_manager import COOKIE_NAME_JWT_TOKEN
    from airflow.api_fastapi.core_api.security import resolve_user_from_token
    from fastapi import HTTPException

    bearer = request.headers.get("authorization", "")
    token = bearer[7:] if bearer.lower().startswith("bearer ") else request.cookies.get(COOKIE_NAME_JWT_TOKEN)
    try:
        await resolve_user_from_token(token)
    except HTTPException:
        return False
    return True


def _link_login(request: Any) -> str:
    """The login page, which leads back to what was asked for: a mail's link works for who has yet to log in."""
    from airflow.api_fastapi.app import get_auth_manager

    return get_auth_manager().get_url_login(next_url=quote(str(request.scope["path"])))


def _find_report(path: str) -> Path | None:
    """The file below the reports folder that ``path`` names, or None; nothing outside the folder is ever named."""
    from include.settings import load_settings

    root = load_settings().reports_root.resolve()
    try:
        found = (root / path).resolve()
        return found if found.is_relative_to(root) and found.is_file() else None
    except (ValueError, OSError):  # a NUL, a name too long, a loop of links
        return None


async def _answer(request: Any) -> Any:
    import msgspec
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, RedirectResponse, Response

    from include.console.overview import read_overview
    from include.console.page import render_page
    from include.settings import load_settings

    if not await _is_logged_in(request):
        if "text/html" in request.headers.get("accept", ""):
            return RedirectResponse(_link_login(request), status_code=303)
        return PlainTextResponse("Log in to Airflow first.", status_code=401)
    path = str(request.scope["path"]).removeprefix(str(request.scope.get("root_path", "")))
    if path.startswith("/reports/"):
        report = _find_report(path.removeprefix("/reports/"))
        if report is None:
            return PlainTextResponse("There is no such report; older ones are pruned.", status_code=404)
        return FileResponse(report, headers=_POLICY)
    if path not in ("", "/", "/status.json"):
        return PlainTextResponse("There is no such page.", status_code=404)
    overview = await run_in_threadpool(read_overview, load_settings())
    if path == "/status.json":
        # A refused model may have a metric that is no number: null here, where JSONResponse would answer 500.
        return Response(msgspec.json.encode(overview), media_type="application/json")
    return HTMLResponse(render_page(overview), headers=_POLICY)


async def serve_tollgate(scope: Scope, receive: Receive, send: Send) -> None:
    """The ASGI application."""
    if scope["type"] != "http":
        return
    from starlette.requests import Request

    response = await _answer(Request(scope, receive))
    await response(scope, receive, send)


class TollgatePagePlugin(AirflowPlugin):
    """Mounts the page and puts it into the navigation."""

    name = "tollgate_page"
    fastapi_apps = [{"app": serve_tollgate, "url_prefix": "/tollgate", "name": "Tollgate"}]
    # Without a url_route it opens as a page of its own: in Airflow's frame no link to MLflow or to a run would work.
    external_views = [{"name": "Tollgate", "href": "/tollgate/", "destination": "nav", "icon": ICON}]
