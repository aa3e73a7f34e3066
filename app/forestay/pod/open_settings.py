"""Lists the settings that let in more than an operator may expect, each with what it means and what to do."""

from collections.abc import Sequence

from forestay.edge.tokens.claim_rights import ClaimRights
from forestay.settings.secrets import variable_of
from forestay.settings.settings import Settings


def open_settings(settings: Settings, rights_of_claims: ClaimRights | None) -> Sequence[str]:
    """One line for each. A value that is set on purpose is no reason for a line, but for `*`, which means every page.

    An issuer with a key set makes tokens for many services and users. A secret is shared with this gateway only, so
    what is said here of key sets does not hold for it.
    """
    found = []
    audience, issuer = variable_of("jwt_audience"), variable_of("jwt_issuer")
    rights, origins = variable_of("default_rights"), variable_of("allowed_origins")
    if settings.jwks_url and not (settings.jwt_audience or settings.jwt_issuer):
        found.append(
            f"neither {audience} nor {issuer} is set: every token that a key of the set has signed is accepted, "
            f"also one for another service; set {audience} to the name that the issuer has for this service"
        )
    if settings.jwks_url and rights_of_claims is None and "default_rights" not in settings.model_fields_set:
        found.append(
            f"{rights} is not set: a token without the claim {settings.jwt_rooms_claim} may read and write in every "
            f"room ({settings.default_rights}); set {rights} to less, or to this value if it is meant"
        )
    if "*" in settings.allowed_origins:
        found.append(
            f"{origins} has *: pages of every site may connect with a token that they get hold of; list the origins"
        )
    return found
