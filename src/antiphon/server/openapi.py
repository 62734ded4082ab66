"""The description of the HTTP door (OpenAPI 3.1)."""

from __future__ import annotations

from typing import Any

from antiphon import __version__
from antiphon.errors import ErrorCode

_NUMBER = {"type": "number"}
_TEXT = {"type": "string"}


def _object(properties: dict[str, Any], required: tuple[str, ...] = ()) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required)}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _json(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


_ERROR = _json("What was wrong, whose fault it is and what to do", _ref("Error"))
_SSE = {
    "description": "Server-sent events with ids: started, speaking, partial, final, progress, error, ended, done",
    "content": {"text/event-stream": {"schema": _TEXT}},
}
_ID = {"name": "id", "in": "path", "required": True, "schema": _TEXT}
_LAST = {
    "name": "Last-Event-ID",
    "in": "header",
    "schema": {"type": "integer"},
    "description": "Go on after this event. Also as lastEventId in the query.",
}
_LANGUAGE = {"name": "language", "in": "query", "schema": _TEXT, "description": "BCP 47 tag"}
_INTERIM = {"name": "interim_results", "in": "query", "schema": {"type": "boolean", "default": True}}
_FILE = {
    "required": True,
    "content": {
        "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        "multipart/form-data": {
            "schema": _object(
                {"file": {"type": "string", "format": "binary"}, "language": _TEXT, "interim_results": _TEXT}, ("file",)
            )
        },
    },
}
_FILE_OR_URL = {
    "required": True,
    "content": {
        **_FILE["content"],  # type: ignore[dict-item]
        "application/json": {"schema": _object({"url": _TEXT, "language": _TEXT}, ("url",))},
    },
}


def _operation(summary: str, responses: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"summary": summary, "responses": {**responses, "default": _ERROR}, **more}


def _whip_paths() -> dict[str, Any]:
    """WHIP and WHEP, which differ in who speaks."""
    sdp = {"application/sdp": {"schema": _TEXT}}
    fragment = {"application/trickle-ice-sdpfrag": {"schema": _TEXT}}
    room = {"name": "room", "in": "path", "required": True, "schema": _TEXT}
    resource = {"name": "resource", "in": "path", "required": True, "schema": _TEXT}
    wishes = [
        {"name": "userId", "in": "query", "schema": _TEXT},
        {"name": "role", "in": "query", "schema": _TEXT},
        {"name": "mode", "in": "query", "schema": {"enum": ["relay", "mix"]}},
        {"name": "captions", "in": "query", "schema": _TEXT, "description": "BCP 47 tag, or true"},
    ]
    match = {"name": "If-Match", "in": "header", "required": True, "schema": _TEXT}
    paths: dict[str, Any] = {}
    for kind, what in (("whip", "Publish into a room (RFC 9725)"), ("whep", "Listen to a room (draft-ietf-wish-whep)")):
        headers = {name: {"schema": _TEXT} for name in ("Location", "ETag", "Link")}
        answer = {"description": "The answer to the offer", "content": sdp, "headers": headers}
        paths[f"/{kind}/{{room}}"] = {
            "post": _operation(
                what, {"201": answer}, parameters=[room, *wishes], requestBody={"required": True, "content": sdp}
            )
        }
        restarted = {"description": "ICE is restarted", "content": fragment, "headers": {"ETag": {"schema": _TEXT}}}
        paths[f"/{kind}/{{room}}/{{resource}}"] = {
            "patch": _operation(
                "Trickle candidates, or restart ICE",
                {"200": restarted, "204": {"description": "The candidates are taken"}},
                parameters=[room, resource, match],
                requestBody={"required": True, "content": fragment},
            ),
            "delete": _operation("Leave", {"200": {"description": "Gone"}}, parameters=[room, resource]),
        }
    return paths


def openapi() -> dict[str, Any]:
    """The document served at ``/openapi.json``."""
    word = _object({"word": _TEXT, "start": _NUMBER, "end": _NUMBER, "confidence": _NUMBER}, ("word", "start", "end"))
    result = _object(
        {
            "event_id": {"type": "integer"},
            "result_id": _TEXT,
            "text": _TEXT,
            "is_partial": {"type": "boolean"},
            "start": _NUMBER,
            "end": _NUMBER,
            "speaker": _TEXT,
            "language": _TEXT,
            "words": {"type": "array", "items": word},
        },
        ("event_id", "result_id", "text", "is_partial", "start", "end"),
    )
    job = _object(
        {
            "id": _TEXT,
            "status": {"enum": ["queued", "running", "done", "failed"]},
            "language": _TEXT,
            "created": _NUMBER,
            "progress": _object({"done": _NUMBER, "total": {"type": ["number", "null"]}}),
            "events": _TEXT,
            "error": _ref("Error"),
            "result": _object(
                {"text": _TEXT, "duration": _NUMBER, "results": {"type": "array", "items": _ref("Result")}}
            ),
        },
        ("id", "status", "progress"),
    )
    error = _object(
        {
            "message": _TEXT,
            "code": {"enum": [code.value for code in ErrorCode]},
            "retryable": {"type": "boolean"},
            "field": _TEXT,
            "retryAfter": {"type": "number", "description": "Seconds"},
        },
        ("message", "code", "retryable"),
    )
    ice = _object(
        {
            "iceServers": {
                "type": "array",
                "items": _object(
                    {"urls": {"type": "array", "items": _TEXT}, "username": _TEXT, "credential": _TEXT}, ("urls",)
                ),
            },
            "ttl": {"type": "integer", "description": "Seconds for which the credentials are good"},
            "media": {
                **_object(
                    {"host": _TEXT, "port": {"type": "integer"}, "tcp": {"type": "boolean"}}, ("host", "port", "tcp")
                ),
                "description": "Where the server itself takes media; absent while WebRTC is off",
            },
        },
        ("iceServers", "ttl"),
    )
    participant = _object(
        {
            "socketId": _TEXT,
            "userId": _TEXT,
            "role": _TEXT,
            "joinedAt": {"type": "integer", "description": "Milliseconds since the Unix epoch"},
            "transport": {"enum": ["webrtc", "websocket", "whip", "whep"]},
            "muted": {"type": "boolean"},
        },
        ("socketId", "userId", "role", "joinedAt", "transport", "muted"),
    )
    rooms = _object(
        {
            "rooms": {
                "type": "array",
                "items": _object(
                    {
                        "roomId": _TEXT,
                        "mode": {"enum": ["relay", "mix"]},
                        "captions": {
                            "oneOf": [_object({"language_code": _TEXT}, ("language_code",)), {"type": "null"}]
                        },
                        "participants": {"type": "array", "items": participant},
                    },
                    ("roomId", "mode", "captions", "participants"),
                ),
            }
        },
        ("rooms",),
    )
    media = _object(
        {
            "files": {
                "type": "array",
                "items": _object({"name": _TEXT, "bytes": {"type": "integer"}}, ("name", "bytes")),
            }
        },
        ("files",),
    )
    voice = _object({"id": _TEXT, "name": _TEXT, "language": _TEXT, "gender": _TEXT}, ("id", "name", "language"))
    voices = _object(
        {"engine": _TEXT, "defaultVoice": _TEXT, "voices": {"type": "array", "items": voice}},
        ("engine", "defaultVoice", "voices"),
    )
    job_answer = _json("The job", _ref("Job"))
    status = _json("Status", _object({"status": _TEXT}))
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Antiphon",
            "version": __version__,
            "description": "Transcription of whole files, and the event logs of all sessions.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "components": {
            "schemas": {"Error": error, "Result": result, "Job": job},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"key": []}],
        "paths": {
            "/v1/transcribe": {
                "post": _operation(
                    "Transcribe a file and stream its events",
                    {"200": _SSE},
                    parameters=[_LANGUAGE, _INTERIM],
                    requestBody=_FILE_OR_URL,
                )
            },
            "/v1/transcribe/{id}": {
                "get": _operation("Go on with a job's events", {"200": _SSE}, parameters=[_ID, _LAST])
            },
            "/v1/transcriptions": {
                "post": _operation(
                    "Transcribe a file in the background",
                    {"202": job_answer},
                    parameters=[_LANGUAGE, _INTERIM],
                    requestBody=_FILE_OR_URL,
                )
            },
            "/v1/transcriptions/{id}": {
                "get": _operation("How a job is getting on", {"200": job_answer}, parameters=[_ID]),
                "delete": _operation("Cancel a job", {"200": job_answer}, parameters=[_ID]),
            },
            "/v1/sessions/{id}/events": {
                "get": _operation("A session's events, while it runs and after", {"200": _SSE}, parameters=[_ID, _LAST])
            },
            "/v1/rooms": {"get": _operation("Rooms and who is in them", {"200": _json("The rooms", rooms)})},
            **_whip_paths(),
            "/v1/media": {
                "get": _operation("Files that can be heard at /ws-audio", {"200": _json("The files", media)})
            },
            "/v1/voices": {
                "get": _operation("Voices that speak texts at /ws-audio", {"200": _json("The voices", voices)})
            },
            "/v1/engine": {"get": _operation("What this server can hear", {"200": _json("Engine", _object({}))})},
            "/v1/ice-servers": {
                "get": _operation(
                    "STUN and TURN servers, with time-limited credentials", {"200": _json("The servers", ice)}
                )
            },
            "/healthz": {"get": _operation("The process is alive", {"200": status})},
            "/readyz": {"get": _operation("The server takes streams", {"200": status, "503": status})},
            "/metrics": {
                "get": _operation(
                    "Metrics for Prometheus",
                    {"200": {"description": "Metrics", "content": {"text/plain": {"schema": _TEXT}}}},
                )
            },
        },
    }
