from gateway.http.pages import render_page

HOSTILE = "<script>alert('x')</script>&\"'"


def test_no_text_of_a_document_becomes_markup() -> None:
    response = {"description": HOSTILE}
    operation = {
        "description": HOSTILE,
        "parameters": [{"name": HOSTILE}],
        "requestBody": {HOSTILE: HOSTILE},
        "responses": {HOSTILE: response},
    }
    document = {
        "info": {"title": HOSTILE, "description": HOSTILE},
        "paths": {HOSTILE: {HOSTILE: operation, "parameters": [HOSTILE]}},
        "components": {"schemas": {HOSTILE: {"const": HOSTILE}}},
    }

    page = render_page(document, HOSTILE).decode()

    assert "<script" not in page.lower()
    assert page.count("&lt;script&gt;") >= 10
    assert page.count('"') % 2 == 0
