"""Issuers that publish their keys: Keycloak, oidc-provider and Spring Authorization Server, on loopback."""

import base64
import json
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from tests.issuers import programs
from tests.issuers.issuer import Issuer, post, process
from tests.support.fetched import Missing
from tests.support.local_redis import free_port
from tests.support.tokens_page import block, settings_of

REALM: Final[Mapping[str, Any]] = {
    "realm": "shop",
    "enabled": True,
    "sslRequired": "none",
    "roles": {"realm": [{"name": "moderator"}], "client": {"forestay": [{"name": "reporter"}]}},
    "groups": [{"name": "red"}],
    "clients": [
        {"clientId": "forestay", "bearerOnly": True},
        {
            "clientId": "web",
            "publicClient": True,
            "directAccessGrantsEnabled": True,
            "protocolMappers": [
                {
                    "name": "groups",
                    "protocol": "openid-connect",
                    "protocolMapper": "oidc-group-membership-mapper",
                    "config": {"full.path": "false", "claim.name": "groups", "access.token.claim": "true"},
                }
            ],
        },
        {
            "clientId": "light",
            "publicClient": True,
            "directAccessGrantsEnabled": True,
            "attributes": {"client.use.lightweight.access.token.enabled": "true"},
        },
        {
            "clientId": "bare",
            "publicClient": True,
            "directAccessGrantsEnabled": True,
            "defaultClientScopes": ["roles"],
        },
    ],
    "users": [
        {
            "username": "ada",
            "enabled": True,
            "email": "ada@example.com",
            "emailVerified": True,
            "firstName": "Ada",
            "lastName": "Lovelace",
            "credentials": [{"type": "password", "value": "secret"}],
            "realmRoles": ["default-roles-shop", "moderator"],
            "clientRoles": {"forestay": ["reporter"]},
            "groups": ["/red"],
        }
    ],
}


@asynccontextmanager
async def keycloak(place: Path) -> AsyncIterator[Issuer]:
    """A realm with a user who has roles and a group, and clients of three kinds."""
    home = await programs.keycloak()
    shutil.rmtree(home / "data", ignore_errors=True)
    programs.written(home / "data/import", {"shop.json": json.dumps(REALM)})
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    realm = f"{base}/realms/shop"
    login = {"username": "ada", "password": "secret", "grant_type": "password", "scope": "openid"}
    admin = {"KC_BOOTSTRAP_ADMIN_USERNAME": "admin", "KC_BOOTSTRAP_ADMIN_PASSWORD": "admin"}
    command = [str(home / "bin/kc.sh"), "start-dev", "--http-host=127.0.0.1", f"--http-port={port}", "--import-realm"]

    async def token(client: str = "web", key: str = "access_token") -> str:
        return await post(f"{realm}/protocol/openid-connect/token", {**login, "client_id": client}, key=key)

    async def change_keys() -> None:
        form = {"grant_type": "password", "client_id": "admin-cli", "username": "admin", "password": "admin"}
        bearer = await post(f"{base}/realms/master/protocol/openid-connect/token", form)
        component = {
            "name": "newer",
            "providerId": "rsa-generated",
            "providerType": "org.keycloak.keys.KeyProvider",
            "config": {"priority": ["200"], "keySize": ["2048"]},
        }
        headers = {"Authorization": f"Bearer {bearer}"}
        url = f"{base}/admin/realms/shop/components"
        async with aiohttp.request("POST", url, json=component, headers=headers) as response:
            if response.status != 201:
                raise Missing(f"Keycloak takes no new key: {response.status} {await response.text()}")

    async with process(command, place, f"{realm}/.well-known/openid-configuration", **admin):
        subject = _claims(await token())["sub"]
        yield Issuer(
            _settings("Keycloak", "https://id.example.com", base),
            token,
            subject,
            {"lobby": "rw", "chat.a": "rw", "news.a": "rw", "team.red.x": "rw", "team.blue.x": ""},
            {
                "a lightweight token": await token("light"),
                "a client without `basic`": await token("bare"),
                "an ID token": await token(key="id_token"),
            },
            change_keys,
        )


_OIDC_PROVIDER: Final = """
import { readFileSync } from "node:fs";
import { Provider } from "oidc-provider";

const { issuer, port, keys, opaque } = JSON.parse(readFileSync("given.json"));
const provider = new Provider(issuer, {
  clients: [{
    client_id: "web",
    client_secret: "secret",
    grant_types: ["client_credentials"],
    redirect_uris: [],
    response_types: [],
  }],
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => (opaque ? [] : "https://chat.example.com"),
      getResourceServerInfo: () => ({
        scope: "chat:read chat:write", accessTokenFormat: "jwt", jwt: { sign: { alg: "RS256" } },
      }),
    },
  },
  scopes: ["chat:read", "chat:write"],
  jwks: { keys },
});
provider.listen(port, "127.0.0.1");
"""


@asynccontextmanager
async def oidc_provider(place: Path) -> AsyncIterator[Issuer]:
    """A client that asks for an API, whose access tokens are JWTs. It starts anew where it changes its keys."""
    home = await programs.npm("oidc-provider", programs.OIDC_PROVIDER)
    node = shutil.which("node")
    if node is None:
        raise Missing("there is no node here")
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    keys = [_private("one")]
    async with AsyncExitStack() as running:

        async def start(*, opaque: bool = False) -> None:
            await running.aclose()
            given = {"issuer": base, "port": port, "keys": keys, "opaque": opaque}
            programs.written(home, {"program.js": _OIDC_PROVIDER, "given.json": json.dumps(given)})
            ready = f"{base}/.well-known/openid-configuration"
            await running.enter_async_context(process([node, "program.js"], home, ready))

        async def token() -> str:
            form = {"grant_type": "client_credentials", "scope": "chat:read chat:write"}
            login = base64.b64encode(b"web:secret").decode()
            return await post(f"{base}/token", form, Authorization=f"Basic {login}")

        async def change_keys() -> None:
            keys.insert(0, _private("two"))
            await start()

        await start(opaque=True)
        opaque = await token()
        await start()
        given = {
            name: text.replace("https://op.example.com", base) for name, text in settings_of("oidc-provider").items()
        }
        yield Issuer(
            {**given, "rooms": block("oidc-provider", "toml")},
            token,
            "web",
            {"chat.a": "rw", "other": ""},
            {"without a resource": opaque},
            change_keys,
        )


_SPRING: Final = """
package example;

import com.nimbusds.jose.jwk.JWKSet;
import com.nimbusds.jose.jwk.RSAKey;
import com.nimbusds.jose.jwk.source.ImmutableJWKSet;
import com.nimbusds.jose.jwk.source.JWKSource;
import com.nimbusds.jose.proc.SecurityContext;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.interfaces.RSAPrivateKey;
import java.security.interfaces.RSAPublicKey;
import java.util.List;
import java.util.UUID;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.context.annotation.Bean;
import org.springframework.security.oauth2.server.authorization.token.JwtEncodingContext;
import org.springframework.security.oauth2.server.authorization.token.OAuth2TokenCustomizer;

@SpringBootApplication
public class Main {
    public static void main(String[] arguments) {
        SpringApplication.run(Main.class, arguments);
    }

    @Bean
    JWKSource<SecurityContext> keys() throws Exception {
        KeyPairGenerator generator = KeyPairGenerator.getInstance("RSA");
        generator.initialize(2048);
        KeyPair pair = generator.generateKeyPair();
        return new ImmutableJWKSet<>(new JWKSet(new RSAKey.Builder((RSAPublicKey) pair.getPublic())
                .privateKey((RSAPrivateKey) pair.getPrivate()).keyID(UUID.randomUUID().toString()).build()));
    }

    @Bean
    CUSTOMIZER
}
"""


@asynccontextmanager
async def spring(place: Path) -> AsyncIterator[Issuer]:
    """A client, and the customizer of the page. Its keys are new at each start, so it starts anew to change them."""
    starters = ("oauth2-authorization-server", "web")
    parent = f"org.springframework.boot:spring-boot-starter-parent:{programs.SPRING_BOOT}"
    text = programs.pom(*(f"org.springframework.boot:spring-boot-starter-{each}" for each in starters), parent=parent)
    home = await programs.jars("spring-authorization-server", programs.SPRING_BOOT, text)
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    source = _SPRING.replace("CUSTOMIZER", block("Spring Authorization Server", "java").replace("\n", "\n    ").strip())
    programs.written(home, {"Main.java": source})
    (home / "classes").mkdir(exist_ok=True)
    await programs.run(["javac", "-parameters", "-cp", "jars/*", "-d", "classes", "Main.java"], home)
    client = "spring.security.oauth2.authorizationserver.client.web"
    options = {
        "server.address": "127.0.0.1",
        "server.port": str(port),
        "spring.security.oauth2.authorizationserver.issuer": base,
        f"{client}.registration.client-id": "web",
        f"{client}.registration.client-secret": "{noop}secret",
        f"{client}.registration.client-authentication-methods": "client_secret_basic",
        f"{client}.registration.authorization-grant-types": "client_credentials",
        f"{client}.registration.scopes": "chat.read,chat.write",
    }
    command = [
        "java",
        "-cp",
        "classes:jars/*",
        "example.Main",
        *(f"--{name}={value}" for name, value in options.items()),
    ]
    async with AsyncExitStack() as running:

        async def change_keys() -> None:
            await running.aclose()
            await running.enter_async_context(process(command, home, f"{base}/oauth2/jwks"))

        async def token() -> str:
            login = base64.b64encode(b"web:secret").decode()
            form = {"grant_type": "client_credentials", "scope": "chat.read chat.write"}
            return await post(f"{base}/oauth2/token", form, Authorization=f"Basic {login}")

        await change_keys()
        yield Issuer(
            _settings("Spring Authorization Server", "https://auth.example.com", base),
            token,
            "web",
            {"chat.a": "rw", "mod.a": "rw", "other": ""},
            {},
            change_keys,
        )


def _settings(heading: str, address: str, base: str) -> dict[str, object]:
    """The settings of a section, with where the issuer is in place of its `address` there."""
    given = {name: text.replace(address, base) for name, text in settings_of(heading).items()}
    return {**given, "rooms": block(heading, "toml")}


def _private(kid: str) -> dict[str, Any]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    jwk: dict[str, Any] = RSAAlgorithm.to_jwk(key, as_dict=True)
    return {name: value for name, value in jwk.items() if name != "key_ops"} | {
        "kid": kid,
        "use": "sig",
        "alg": "RS256",
    }


def _claims(token: str) -> dict[str, Any]:
    part = token.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found
