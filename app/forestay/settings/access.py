"""Settings that decide who may connect: tokens, keys of backends, and origins of pages."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field

from forestay.edge.origins import Origins
from forestay.settings.fields import Folder, Secret, SecretText, Text, WordList


def _origins(value: list[str]) -> list[str]:
    Origins(value)
    return value


class Access(BaseModel):
    """Who may connect, and with which rights."""

    secrets_dir: Folder = Field(None, description="folder with a file for each secret, such as jwt-secret and api-key")
    jwt_secret: Secret = Field(None, description="HMAC key that verifies tokens, at least 32 bytes")
    jwt_public_key: SecretText = Field(None, description="public key that verifies tokens, as PEM")
    jwks_url: Text = Field(None, description="https URL of the key set that verifies tokens")
    jwt_algorithms: WordList = Field([], description="accepted algorithms; empty: those that fit the key")
    jwt_audience: Text = Field(None, description="required `aud` of tokens; empty: not checked")
    jwt_issuer: Text = Field(None, description="required `iss` of tokens; empty: not checked")
    default_rights: str = Field("**:rwph", description="rights of tokens without a `rooms` claim: pattern:letters, …")
    max_token_bytes: int = Field(8192, ge=1024, le=65536, description="bytes of one token; above that 401")
    query_token: bool = Field(True, description="accept tokens in the URL; old clients need it, proxies may log it")
    api_key: Secret = Field(None, description="key of backends for /v1, at least 32 bytes; unset: 401")
    allowed_origins: Annotated[WordList, AfterValidator(_origins)] = Field(
        [], description="origins of pages that may connect; empty: the same host; *: any"
    )
