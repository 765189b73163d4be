"""Lines of a batch that make no sense: each fails by itself."""

from __future__ import annotations

import json

import pytest

from gemma_mtp.batch.lines import read
from gemma_mtp.server.errors import Unsupported


@pytest.mark.parametrize("url", [None, 5, ["/v1/completions"], {}, "/v1/other"])
def test_a_url_that_is_none_is_refused(url: object) -> None:
    data = {"custom_id": "a", "method": "POST", "url": url, "body": {"prompt": "Hi"}}
    (line,) = read([json.dumps(data).encode()], lambda *_: {})
    with pytest.raises(Unsupported, match="url must be one of") as refused:
        line.asked()
    assert line.failed(refused.value)["response"]["status_code"] == 400
