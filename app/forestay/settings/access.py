"""Settings that decide who may connect: tokens, keys of backends, and origins of pages."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field

from forestay.edge.handshake.origins import Origins
from forestay.edge.tokens.claims import MAX_NAME, ClaimNames
from forestay.settings.fields import Folder, Secret, SecretText, Text, Unset, WordList


def _origins(value: list[str]) -> list[str]:
    Origins(value)
    return value


ClaimName = Annotated[str, Field(min_length=1, max_length=MAX_NAME)]


class Access(BaseModel):
    """Who may connect, and with which rights."""

    secrets_dir: Folder = Field(None, description="folder with a file for each secret, such as jwt-secret and api-key")
    jwt_secret: Secret = Field(None, description="HMAC key that verifies tokens, at least 32 bytes")
    jwt_secret_previous: Secret = Field(None, description="the HMAC key before, while the keys are turned")
    jwt_public_key: SecretText = Field(None, description="public key that verifies tokens, as PEM")
    jwks_url: Text = Field(None, description="https URL of the key set that verifies tokens")
    jwks_ca: Annotated[Path | None, Unset] = Field(
        None, description="PEM file with the authority of that URL's certificate"
    )
    jwt_algorithms: WordList = Field([], description="accepted algorithms; empty: those that fit the key")
    jwt_audience: WordList = Field([], description="accepted audiences of tokens; empty: not checked")
    jwt_issuer: WordList = Field([], description="accepted `iss` of tokens; empty: not checked")
    jwt_user_claim: ClaimName = Field("sub", description="claim that names the user")
    jwt_audience_claim: ClaimName = Field("aud", description="claim that names the audience")
    jwt_rooms_claim: ClaimName = Field("rooms", description="claim with the rights by room pattern")
    default_rights: str = Field("**:rwph", description="rights of tokens without a `rooms` claim: pattern:letters, …")
    max_token_bytes: int = Field(8192, ge=1024, le=65536, description="bytes of one token; above that 401")
    query_token: bool = Field(True, description="accept tokens in the URL; old clients need it, proxies may log it")
    api_key: Secret = Field(None, description="key of backends for /v1, at least 32 bytes; unset: 401")
    api_key_previous: Secret = Field(None, description="the key of backends before, while the keys are turned")
    api_keys_file: Annotated[Path | None, Unset] = Field(
        None, description="TOML file with the digests and the scopes of more keys of backends"
    )
    allowed_origins: Annotated[WordList, AfterValidator(_origins)] = Field(
        [], description="origins of pages that may connect; empty: the same host; *: any"
    )

    @property
    def claim_names(self) -> ClaimNames:
        """Where a token has its user, its audience and its rights."""
        return ClaimNames(self.jwt_user_claim, self.jwt_audience_claim, self.jwt_rooms_claim)
