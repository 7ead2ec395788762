"""The stored OpenAPI document is the service's own.

Regenerate with `python -m bb_domains.api_json.document`.
"""

from __future__ import annotations

import json

from bb_domains.api_json import DOCUMENT
from bb_domains.api_json.document import document_text

TOOLS = {
    "login",
    "get_order",
    "confirm_owner",
    "refund_order",
    "cancel_order",
    "track_shipment",
    "change_city",
    "set_priority",
    "find_customer",
    "update_email",
    "issue_voucher",
    "add_note",
}
AUDITS = {"health", "list_orders", "list_customers", "read_state"}


def test_the_stored_document_is_what_the_service_says() -> None:
    assert DOCUMENT.read_text() == document_text()


def test_every_operation_has_a_name_a_summary_and_a_typed_answer() -> None:
    document = json.loads(DOCUMENT.read_text())
    operations = [op for item in document["paths"].values() for op in item.values()]
    assert {op["operationId"] for op in operations} == TOOLS | AUDITS
    for op in operations:
        assert op["description"], op["operationId"]
        schema = op["responses"]["200"]["content"]["application/json"]["schema"]
        assert "$ref" in schema or "$ref" in schema["items"], op["operationId"]
