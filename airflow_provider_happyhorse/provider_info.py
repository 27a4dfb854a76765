"""What Airflow shows and loads of this provider: connection form, configuration, links, decorator.

Airflow 2.11 to 3.1 build the connection form from the hook's own methods, 3.3 from this dictionary alone (3.2 takes either), so both
exist and a test holds them together. The keys are those of ``airflow/provider_info.schema.json``; 2.11 ignores the ones it does not know.
"""

from __future__ import annotations

from typing import Any

from airflow_provider_happyhorse import __version__

PACKAGE = "airflow_provider_happyhorse"
INTEGRATION = "HappyHorse"

#: The connection's extra fields: name -> (label, description, JSON schema). The hook builds the form of 2.11 to 3.1 from the same table.
CONNECTION_FIELDS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "service": (
        "Service",
        "happy-horse.ai or happyhorse.app. Taken from the base URL's host; required when the host is neither (the emulator, a proxy).",
        {"type": ["string", "null"], "enum": ["happy-horse.ai", "happyhorse.app", None], "default": None},
    ),
    "max_credits": (
        "Max credits per generation",
        "A generation estimated above this is refused before anything is sent; so is one whose price is unknown.",
        {"type": ["integer", "null"], "minimum": 0, "default": None},
    ),
    "check_balance": (
        "Check the balance",
        "Ask for the account's balance before each submission and refuse what it does not pay for. One request more per submission; "
        "happy-horse.ai only.",
        {"type": ["boolean", "null"], "default": False},
    ),
    "credit_price": (
        "Price of a credit",
        "An amount and a currency (0.0025 EUR), for people: the task's log shows money beside the credits.",
        {"type": ["string", "null"], "default": None},
    ),
    "request_timeout": (
        "Request timeout (s)",
        "How long one API call may take to answer, 1 to 600 seconds. Connecting may take 10 of them.",
        {"type": ["integer", "null"], "minimum": 1, "maximum": 600, "default": 60},
    ),
    "requests_per_minute": (
        "Requests per minute",
        "What this key may send in a minute, all tasks together; both services document 60. Headers of the service win.",
        {"type": ["integer", "null"], "minimum": 1, "maximum": 100000, "default": 60},
    ),
    "prices": (
        "Prices",
        'JSON object of credits per second (per image for image models) that override the documented ones: {"doubao-seedance-2-0": 8} '
        'for happy-horse.ai, {"pro+sound": 90} (std, std+sound, pro, pro+sound) for happyhorse.app.',
        {"type": ["string", "null"], "default": None},
    ),
    "ledger_path": (
        "Ledger path",
        "Folder that all workers share (file:///... or s3://conn_id@bucket/prefix) for records of submissions and the spend log; wins over "
        "[happyhorse] ledger_path. One per Airflow deployment.",
        {"type": ["string", "null"], "default": None},
    ),
    "proxy": (
        "Proxy",
        "URL of an HTTP proxy (http://host:port, no credentials) for API calls and results. Without it, API calls follow the environment.",
        {"type": ["string", "null"], "default": None},
    ),
    "allow_private_results": (
        "Results from private addresses",
        "Allow result URLs that lead to private or loopback addresses. Loopback is always allowed when the base URL is loopback.",
        {"type": ["boolean", "null"], "default": False},
    ),
}

UI_FIELD_BEHAVIOUR: dict[str, Any] = {
    "hidden_fields": ["schema", "login", "port"],
    "relabeling": {"password": "API key", "host": "Base URL"},
    "placeholders": {"host": "https://happy-horse.ai/api/v1", "password": "sk-sd_..."},
}


def get_provider_info() -> dict[str, Any]:
    """Return the provider's description for Airflow's provider manager."""
    return {
        "package-name": "airflow-provider-happyhorse",
        "name": INTEGRATION,
        "description": "HappyHorse AI video generation: upload, generate, wait and publish, each video paid for once.",
        "versions": [__version__],
        "integrations": [
            {
                "integration-name": INTEGRATION,
                "external-doc-url": "https://happy-horse.ai/docs/api-reference",
                "tags": ["service"],
            }
        ],
        "operators": _modules("operators.video", "operators.image", "operators.upload", "operators.publish"),
        "sensors": _modules("sensors.generation"),
        "hooks": _modules("hooks.happyhorse"),
        "triggers": _modules("triggers.generation", "triggers.submit"),
        "connection-types": [
            {
                "connection-type": "happyhorse",
                "hook-class-name": f"{PACKAGE}.hooks.happyhorse.HappyHorseHook",
                "hook-name": INTEGRATION,
                "ui-field-behaviour": {key.replace("_", "-"): value for key, value in UI_FIELD_BEHAVIOUR.items()},
                "conn-fields": {
                    name: {"label": label, "description": description, "schema": schema}
                    for name, (label, description, schema) in CONNECTION_FIELDS.items()
                },
            }
        ],
        "extra-links": [f"{PACKAGE}.links.HappyHorseVideoLink"],
        "task-decorators": [{"name": "happyhorse_video", "class-name": f"{PACKAGE}.decorators.video.happyhorse_video_task"}],
        "config": {
            "happyhorse": {
                "description": "Defaults of the HappyHorse operators and sensors.",
                "options": {
                    "deferrable": {
                        "description": "Wait in the triggerer instead of in a worker slot, unless the task says otherwise.",
                        "version_added": "0.1.0",
                        "type": "boolean",
                        "example": None,
                        "default": "True",
                    },
                    "ledger_path": {
                        "description": (
                            "Folder that all workers share, for records of submissions that survive a retry before Airflow 3.3 and the "
                            "DAG run after it, and for the spend log. Empty: none. One per Airflow deployment."
                        ),
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "s3://aws_default@my-bucket/happyhorse",
                        "default": "",
                    },
                    "first_poll_delay": {
                        "description": (
                            "Seconds from submission (or deferral) to the first status request. Below 10, Airflow may take the "
                            "deferral for the end of a failed task (apache/airflow #66374)."
                        ),
                        "version_added": "0.1.0",
                        "type": "float",
                        "example": None,
                        "default": "10",
                    },
                    "submit_slot_wait": {
                        "description": (
                            "Seconds a worker waits for a submission that was refused for too many requests; what would wait longer "
                            "leaves its worker slot until it is its turn."
                        ),
                        "version_added": "0.1.0",
                        "type": "float",
                        "example": None,
                        "default": "30",
                    },
                    "submit_timeout": {
                        "description": "Seconds from the first refusal for too many requests after which a submission is given up.",
                        "version_added": "0.1.0",
                        "type": "float",
                        "example": None,
                        "default": "3600",
                    },
                    "max_result_bytes": {
                        "description": "A result larger than this is not published.",
                        "version_added": "0.1.0",
                        "type": "integer",
                        "example": None,
                        "default": "2147483648",
                    },
                    "max_download_seconds": {
                        "description": "A result whose download takes longer than this is not published.",
                        "version_added": "0.1.0",
                        "type": "float",
                        "example": None,
                        "default": "1800",
                    },
                },
            }
        },
    }


def _modules(*names: str) -> list[dict[str, Any]]:
    return [{"integration-name": INTEGRATION, "python-modules": [f"{PACKAGE}.{name}" for name in names]}]
