"""Builds the HTTP API from the settings: the keys that it knows, and the limits of what it reads."""

from forestay.core.cluster.watcher import Watcher
from forestay.core.ports.observer import Observer
from forestay.edge.api.api import Api, Core
from forestay.edge.api.handler import BodyLimits
from forestay.edge.api.keys import ApiKeys
from forestay.edge.api.keys_file import ApiKeysFile
from forestay.edge.api.webhooks import WebhookSource
from forestay.pod.links import new_id
from forestay.pod.wiring import Pod
from forestay.settings.settings import Settings


def make_api(
    settings: Settings, pod: Pod, file: ApiKeysFile | None, observer: Observer, webhooks: WebhookSource
) -> Api:
    """Return the API of `pod`. `file`: the keys of FORESTAY_API_KEYS_FILE."""

    def new_watcher(connection: str | None, room: str | None) -> Watcher:
        return Watcher(pod.control, new_id(), connection, room)

    secrets = [each.get_secret_value() for each in (settings.api_key, settings.api_key_previous) if each]
    limits = BodyLimits(settings.max_message_bytes, settings.json_depth)
    core = Core(pod.backend, pod.all_pods, new_watcher)
    return Api(core, ApiKeys(secrets, file, observer), limits, observer, webhooks)
