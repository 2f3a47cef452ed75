"""Every answer that is no success: `{"detail", "error_code", "context"}`, whoever gives it.

`detail` is a sentence for a person, `error_code` a word for a program. Neither holds what was sent,
nor the name of a server or a bucket; only an administrator's own policy is called by its id.
"""

import logging
from collections.abc import Mapping
from enum import StrEnum

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException

from outreach_core.errors import OutreachError, RetryableError
from outreach_core.given_answers import IdempotencyKeyReusedError
from outreach_core.path_patterns import WrongPatternError
from outreach_core.policies import WrongPolicyError
from outreach_core.policy_table import (
    PolicyChangedError,
    PolicyMissingError,
    PolicyThereError,
)
from outreach_core.tasks import TaskMissingError, TooManyOpenTasksError

logger = logging.getLogger(__name__)


class ErrorCode(StrEnum):
    """What a program can tell refusals by."""

    UNAUTHORIZED = "UNAUTHORIZED"
    NOT_ALLOWED = "NOT_ALLOWED"
    NOT_FOUND = "NOT_FOUND"
    METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED"
    INVALID_REQUEST = "INVALID_REQUEST"
    REQUEST_TOO_LARGE = "REQUEST_TOO_LARGE"
    TOO_MANY_REQUESTS = "TOO_MANY_REQUESTS"
    TOO_MANY_OPEN_TASKS = "TOO_MANY_OPEN_TASKS"
    IDEMPOTENCY_KEY_REUSED = "IDEMPOTENCY_KEY_REUSED"
    TASK_NOT_FOUND = "TASK_NOT_FOUND"
    INVALID_TOOL_ID = "INVALID_TOOL_ID"
    INVALID_PARAMETERS = "INVALID_PARAMETERS"
    INVALID_INPUTS = "INVALID_INPUTS"
    INVALID_CURSOR = "INVALID_CURSOR"
    INVALID_POLICY = "INVALID_POLICY"
    INVALID_DESTINATION = "INVALID_DESTINATION"
    POLICY_NOT_FOUND = "POLICY_NOT_FOUND"
    POLICY_EXISTS = "POLICY_EXISTS"
    POLICY_CHANGED = "POLICY_CHANGED"
    FILES_NOT_FOUND = "FILES_NOT_FOUND"
    FILES_DIFFER = "FILES_DIFFER"
    UPLOAD_NOT_FOUND = "UPLOAD_NOT_FOUND"
    INVALID_PART = "INVALID_PART"
    PARTS_NOT_FOUND = "PARTS_NOT_FOUND"
    PARTS_DIFFER = "PARTS_DIFFER"
    UPLOAD_URLS_EXPIRED = "UPLOAD_URLS_EXPIRED"
    TASK_NOT_UPLOADABLE = "TASK_NOT_UPLOADABLE"
    TASK_ALREADY_PROCESSING = "TASK_ALREADY_PROCESSING"
    TASK_NOT_PROCESSABLE = "TASK_NOT_PROCESSABLE"
    TASK_NOT_CANCELLABLE = "TASK_NOT_CANCELLABLE"
    TASK_NOT_RETRYABLE = "TASK_NOT_RETRYABLE"
    TASK_NOT_DELETABLE = "TASK_NOT_DELETABLE"
    TASK_NOT_COMPLETED = "TASK_NOT_COMPLETED"
    REPORT_NOT_FOUND = "REPORT_NOT_FOUND"
    LINK_REFUSED = "LINK_REFUSED"
    SERVICE_UNAVAILABLE = "SERVICE_UNAVAILABLE"
    INTERNAL_ERROR = "INTERNAL_ERROR"


REFUSED: Mapping[type[OutreachError], tuple[int, ErrorCode]] = {
    TaskMissingError: (404, ErrorCode.TASK_NOT_FOUND),
    TooManyOpenTasksError: (429, ErrorCode.TOO_MANY_OPEN_TASKS),
    IdempotencyKeyReusedError: (422, ErrorCode.IDEMPOTENCY_KEY_REUSED),
    WrongPolicyError: (400, ErrorCode.INVALID_POLICY),
    WrongPatternError: (400, ErrorCode.INVALID_POLICY),
    PolicyMissingError: (404, ErrorCode.POLICY_NOT_FOUND),
    PolicyThereError: (409, ErrorCode.POLICY_EXISTS),
    PolicyChangedError: (412, ErrorCode.POLICY_CHANGED),
}
"""Errors whose own words are the answer."""


class Refusal(BaseModel):
    """Every answer that is no success."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "detail": "there is no such task",
                    "error_code": "TASK_NOT_FOUND",
                    "context": {},
                }
            ]
        }
    )

    detail: str
    error_code: ErrorCode
    context: dict[str, object]


class RefusedError(HTTPException):
    """Ends a request with this answer."""

    def __init__(
        self,
        status: int,
        code: ErrorCode,
        detail: str,
        *,
        context: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, detail, dict(headers or {}))
        self.code, self.context = code, dict(context or {})

    def response(self) -> JSONResponse:
        """The answer itself, for those who stand before the routes."""
        body = {"detail": self.detail, "error_code": self.code, "context": self.context}
        return JSONResponse(body, self.status_code, self.headers)


def add_refusals(app: FastAPI) -> None:
    """Let the app turn whatever its routes raise into such answers."""
    app.add_exception_handler(HTTPException, _said)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(OutreachError, _ours)
    app.add_exception_handler(Exception, _unforeseen)


def _said(_request: Request, error: Exception) -> JSONResponse:
    if isinstance(error, RefusedError):
        return error.response()
    assert isinstance(error, HTTPException)  # noqa: S101 what it was registered for
    codes = {404: ErrorCode.NOT_FOUND, 405: ErrorCode.METHOD_NOT_ALLOWED}
    code = codes.get(error.status_code, ErrorCode.INVALID_REQUEST)
    return RefusedError(
        error.status_code, code, str(error.detail), headers=error.headers
    ).response()


def _invalid(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 what it was registered for
    problems = [
        {"at": ".".join(str(part) for part in one["loc"])[:200], "says": one["msg"]}
        for one in error.errors()[:20]
    ]
    first = problems[0]
    return RefusedError(
        422,
        ErrorCode.INVALID_REQUEST,
        f"{first['at']}: {first['says']}",
        context={"problems": problems},
    ).response()


def _ours(_request: Request, error: Exception) -> JSONResponse:
    refused = as_refused(error)
    if refused.status_code >= 500:
        logger.error("%s", error)
    return refused.response()


def as_refused(error: Exception) -> RefusedError:
    """An error of ours as the answer it is."""
    for kind, (status, code) in REFUSED.items():
        if isinstance(error, kind):
            return RefusedError(status, code, str(error))
    if isinstance(error, RetryableError):
        return RefusedError(
            503,
            ErrorCode.SERVICE_UNAVAILABLE,
            "the database or the store cannot be reached just now: try again in a moment",
            headers={"retry-after": "5"},
        )
    return _INTERNAL


def _unforeseen(_request: Request, _error: Exception) -> JSONResponse:
    return _INTERNAL.response()  # Starlette logs it with its traceback


_INTERNAL = RefusedError(
    500, ErrorCode.INTERNAL_ERROR, "something is wrong here, and it is in this service's log"
)
