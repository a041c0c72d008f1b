"""What the HTTP applications take: every route, and pydantic's schema of each of its inputs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from enginehouse.api.app import create_app
from enginehouse.registry.controller.http import create_controller_app
from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts
from pydantic import TypeAdapter

from enginehouse.settings import Settings


def applications(settings: Settings) -> list[FastAPI]:
    """The adapter and the controller, neither of them started."""
    nothing: Any = None
    return [create_app(settings), create_controller_app(nothing, nothing, "token", None)]


def routes(app: FastAPI) -> Iterator[APIRoute]:
    """Every route of an application, included routers' too."""
    for context in iter_route_contexts(app.routes):
        route = context.original_route
        if isinstance(route, APIRoute):
            yield route


def inputs(route: APIRoute) -> Iterator[tuple[str, Any]]:
    """Name and core schema of a route's body, query, path and header fields."""
    dependants = [route.dependant]
    while dependants:
        one = dependants.pop()
        dependants += one.dependencies
        for field in (
            *one.path_params, *one.query_params, *one.header_params, *one.body_params,
        ):  # fmt: skip
            annotation = field.field_info.annotation
            adapter = TypeAdapter(field.field_info.rebuild_annotation() or annotation)
            yield f"{route.path} {field.name}", adapter.core_schema


def nodes(schema: Any) -> Iterator[dict[str, Any]]:
    """Every node of a core schema, definitions included."""
    waiting = [schema]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            if isinstance(one.get("type"), str):
                yield one
            waiting += one.values()
        elif isinstance(one, list | tuple):
            waiting += one
