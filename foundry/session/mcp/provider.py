"""The SDK's OAuth provider, bounded: it asks only where it may, shows its page to a person first, and keeps nothing itself.

Imported by a login alone: with it comes the SDK.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
from mcp.client.auth import OAuthClientProvider
from mcp.client.auth.extensions.client_credentials import SignedJWTParameters
from mcp.client.auth.utils import extract_field_from_www_auth, issuers_match
from mcp.shared.auth import OAuthClientInformationFull, OAuthClientMetadata, OAuthToken
from pydantic import AnyUrl

from foundry.session.mcp.access import may_ask, said_code, tokens_in
from foundry.session.mcp.login import Asking, Page
from foundry.session.mcp.loopback import LoginFailed
from foundry.text import visible

_LONGEST_URL = 8_000


class _Nowhere:
    """The SDK's storage, which keeps nothing: a login is kept whole, once it is one."""

    async def get_tokens(self) -> None: ...
    async def set_tokens(self, tokens: Any) -> None: ...
    async def get_client_info(self) -> None: ...
    async def set_client_info(self, client_info: Any) -> None: ...


class Provider(OAuthClientProvider):
    """Does one login as `asking` says, and leaves it in what was seen. Raises LoginFailed, OAuthFlowError, httpx.HTTPError."""

    def __init__(self, asking: Asking) -> None:
        client = OAuthClientMetadata(
            client_name="Agent Foundry", redirect_uris=[AnyUrl(asking.back.redirect)], software_id="agent-foundry"
        )
        url = asking.oauth.get("client_metadata_url")
        super().__init__(asking.server.url, client, _Nowhere(), self._shown, self._came_back, client_metadata_url=url)
        self._asking = asking

    async def _initialize(self) -> None:
        oauth = self._asking.oauth
        if oauth.get("client_id"):
            secret = oauth.get("client_secret")
            self.context.client_info = OAuthClientInformationFull(
                redirect_uris=self.context.client_metadata.redirect_uris, client_id=oauth["client_id"], client_secret=secret
            )
        self._initialized = True

    def _select_authorization_server(self, advertised: list[str]) -> str:
        wanted = self._asking.oauth.get("issuer", "")
        return next((one for one in advertised if wanted and issuers_match(one, wanted)), advertised[0])

    async def _auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        seen, flow = self._asking.seen, super()._auth_flow(request)
        replayed = False
        try:
            outgoing = await anext(flow)
            while True:
                if outgoing is not request:
                    self._check(str(outgoing.url))
                response = yield outgoing
                if outgoing is not request and response.status_code >= 400:
                    seen.answered = _answer(outgoing, response.status_code, await response.aread())
                if outgoing is request and not replayed:
                    response, replayed = self._challenged(response), True
                outgoing = await flow.asend(response)
        except StopAsyncIteration:
            return
        finally:
            await flow.aclose()

    def _challenged(self, response: httpx.Response) -> httpx.Response:
        """Return the server's answer to the first request, or what it said in an earlier run, where it now says nothing."""
        asking = self._asking
        said = asking.before.challenge or ("Bearer" if asking.server.asks_login or not asking.show else "")
        if response.status_code == 401 or not said:
            return response
        return httpx.Response(401, headers={"WWW-Authenticate": said}, request=response.request)

    async def _perform_authorization(self) -> httpx.Request:
        context, oauth = self.context, self._asking.oauth
        metadata, client = context.oauth_metadata, context.client_info
        found = str(metadata.issuer) if metadata else ""
        if oauth.get("issuer") and not issuers_match(found, oauth["issuer"]):
            raise LoginFailed(f"it leads to {found or 'no issuer'}, and not to the issuer of its entry")
        context.client_metadata.scope = self._scopes()
        if client and client.client_secret and not client.token_endpoint_auth_method:
            known = (metadata and metadata.token_endpoint_auth_methods_supported) or ["client_secret_basic"]
            basic = "client_secret_basic" in known or "client_secret_post" not in known
            client.token_endpoint_auth_method = "client_secret_basic" if basic else "client_secret_post"
        if oauth.get("grant") == "client_credentials":
            return await self._own_request()
        return await super()._perform_authorization()

    def _scopes(self) -> str | None:
        """Return the scopes to ask for: those the server wants now, those it wanted more of, and with them those held."""
        before = self._asking.before
        said = httpx.Response(401, headers={"WWW-Authenticate": before.challenge})
        wanted = (self.context.client_metadata.scope or "").split()
        if "insufficient_scope" in before.challenge:
            wanted += [*(extract_field_from_www_auth(said, "scope") or "").split(), *before.scope.split()]
        metadata = self.context.oauth_metadata
        if wanted and metadata and "offline_access" in (metadata.scopes_supported or ()) and self._asking.show:
            wanted.append("offline_access")
        return " ".join(dict.fromkeys(wanted)) or None

    async def _own_request(self) -> httpx.Request:
        context, oauth = self.context, self._asking.oauth
        data = {"grant_type": "client_credentials"}
        if context.should_include_resource_param(context.protocol_version):
            data["resource"] = context.get_resource_url()
        if context.client_metadata.scope:
            data["scope"] = context.client_metadata.scope
        if key := oauth.get("private_key"):
            client, algorithm = oauth["client_id"], oauth.get("algorithm", "RS256")
            signed = SignedJWTParameters(issuer=client, subject=client, signing_key=key, signing_algorithm=algorithm)
            data["client_assertion_type"] = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
            data["client_assertion"] = await signed.create_assertion_provider()(str(context.oauth_metadata.issuer))  # type: ignore[union-attr]
        data, headers = context.prepare_token_auth(data, {"Content-Type": "application/x-www-form-urlencoded"})
        return httpx.Request("POST", self._get_token_endpoint(), data=data, headers=headers)

    async def _handle_token_response(self, response: httpx.Response) -> None:
        context = self.context
        body = await response.aread()
        if response.status_code != 200:
            raise LoginFailed(_answer(response.request, response.status_code, body))
        login = tokens_in(body, response.request.url.netloc.decode())
        client = context.client_info
        self._asking.seen.login = replace(
            login,
            scope=login.scope or context.client_metadata.scope or "",
            issuer=str(context.oauth_metadata.issuer) if context.oauth_metadata else "",
            token_endpoint=self._get_token_endpoint(),
            resource=context.get_resource_url() if context.should_include_resource_param(context.protocol_version) else "",
            client_id=(client and client.client_id) or "",
            client_secret=(client and client.client_secret) or "",
            client_auth=(client and client.token_endpoint_auth_method) or "",
        )
        context.current_tokens = OAuthToken(access_token=login.access_token)

    async def _shown(self, url: str) -> None:
        asking, metadata, parts = self._asking, self.context.oauth_metadata, urlsplit(url)
        if metadata and "S256" not in (metadata.code_challenge_methods_supported or ()):
            raise LoginFailed(f"{visible(parts.netloc)} does not say that it checks PKCE, without which a code can be stolen")
        if not may_ask(url, asking.server.url) or not (url.isascii() and url.isprintable()) or len(url) > _LONGEST_URL:
            raise LoginFailed(f"its page to log in on is not opened: {visible(url[:200])}")
        issuer = str(metadata.issuer) if metadata else ""
        query = parse_qs(parts.query)
        asking.back.expect(query["state"][-1], issuer)
        scopes = tuple((self.context.client_metadata.scope or "").split())
        page = Page(url, parts.netloc, issuer, urlsplit(self._get_token_endpoint()).netloc, query["client_id"][-1], scopes)
        if not asking.show or not await asking.show(page):
            raise LoginFailed("you said no")

    async def _came_back(self) -> tuple[str, str | None]:
        return await self._asking.back.answer(), self._asking.back.state

    def _check(self, url: str) -> None:
        """Notice what is asked next. Raises LoginFailed where that may not be."""
        seen = self._asking.seen
        seen.asked, seen.answered = urlsplit(url).netloc, ""
        if not may_ask(url, self._asking.server.url):
            raise LoginFailed(f"it leads to {visible(url[:200])}, which is not asked: a login needs https")


def _answer(request: Any, status: int, body: bytes) -> str:
    code = said_code(body)
    return visible(f"{request.url.netloc.decode()} answered {status}" + (f": {code}" if code else ""))
