{{/* What follows from several values, and what cannot be. Each refusal says which values to set. */}}

{{/* Seconds of a number, or of a text with units such as 1h30m. */}}
{{- define "forestay.seconds" -}}
{{- if kindIs "string" . -}}
{{- $seconds := 0 -}}
{{- range regexFindAll "[0-9]+[dhms]" . -1 -}}
{{- $unit := get (dict "d" 86400 "h" 3600 "m" 60 "s" 1) (regexFind "[dhms]" .) -}}
{{- $seconds = add $seconds (mul (regexFind "[0-9]+" . | atoi) $unit) -}}
{{- end -}}
{{- $seconds -}}
{{- else -}}
{{- include "forestay.text" . -}}
{{- end -}}
{{- end -}}

{{/* The parts of a drain in seconds. */}}
{{- define "forestay.drain" -}}
{{- range $part, $time := .Values.drain }}
{{ $part }}: {{ include "forestay.seconds" $time }}
{{- end }}
{{- end -}}

{{/* Seconds from a pod's deletion to its kill: the sum of the drain's parts, or more. The lead lies in the window. */}}
{{- define "forestay.grace" -}}
{{- $drain := include "forestay.drain" . | fromYaml -}}
{{- $need := add $drain.preStop $drain.window $drain.close $drain.flush $drain.margin | int64 -}}
{{- $given := .Values.terminationGracePeriodSeconds -}}
{{- if or (kindIs "invalid" $given) (eq (toString $given) "") -}}
{{- $need -}}
{{- else if lt (int64 $given) $need -}}
{{- fail (printf "terminationGracePeriodSeconds is %d, but a drain may take %d (drain.preStop + window + close + flush + margin): raise it, leave it empty, or shorten drain.window" (int64 $given) $need) -}}
{{- else -}}
{{- int64 $given -}}
{{- end -}}
{{- end -}}

{{/* Seconds that the gateway itself has, from SIGTERM to its exit. */}}
{{- define "forestay.deadline" -}}
{{- $drain := include "forestay.drain" . | fromYaml -}}
{{- sub (include "forestay.grace" . | int64) (add $drain.preStop $drain.margin) -}}
{{- end -}}

{{- define "forestay.scaled" -}}
{{- if ne .Values.autoscaling.mode "none" }}true{{ end -}}
{{- end -}}

{{- define "forestay.leastReplicas" -}}
{{- int64 (ternary .Values.autoscaling.min .Values.replicaCount (ne .Values.autoscaling.mode "none")) -}}
{{- end -}}

{{- define "forestay.mostReplicas" -}}
{{- int64 (ternary .Values.autoscaling.max .Values.replicaCount (ne .Values.autoscaling.mode "none")) -}}
{{- end -}}

{{/* Connections per pod that autoscaling aims at: with one of the least pods lost, the others stay below 80 %. */}}
{{- define "forestay.targetConnections" -}}
{{- $given := .Values.autoscaling.connections -}}
{{- if or (kindIs "invalid" $given) (eq (toString $given) "") -}}
{{- $pods := max 2 (int64 .Values.autoscaling.min) -}}
{{- max 1 (div (mul (int64 .Values.maxConnections) (sub $pods 1) 8) (mul $pods 10)) -}}
{{- else -}}
{{- int64 $given -}}
{{- end -}}
{{- end -}}

{{/* The pace of autoscaling. Down one pod at a time, and not before the one before it has drained. */}}
{{- define "forestay.behavior" -}}
{{- if .Values.autoscaling.behavior -}}
{{- toYaml .Values.autoscaling.behavior -}}
{{- else -}}
scaleUp:
  stabilizationWindowSeconds: 0
  selectPolicy: Max
  policies:
    - {type: Percent, value: 100, periodSeconds: 15}
    - {type: Pods, value: 4, periodSeconds: 15}
scaleDown:
  stabilizationWindowSeconds: 600
  selectPolicy: Min
  policies:
    - {type: Pods, value: 1, periodSeconds: {{ min 1800 (max 120 (add 60 (include "forestay.grace" . | int64))) }}}
{{- end -}}
{{- end -}}

{{/* Which features ask the cluster: whoever needs a token, a Role or a way to the API server asks here. */}}
{{- define "forestay.watchesPeers" -}}
{{- if or (eq .Values.readiness.bus "auto") .Values.rebalance.shed }}true{{ end -}}
{{- end -}}

{{- define "forestay.asksCluster" -}}
{{- if or (include "forestay.watchesPeers" .) .Values.events.enabled }}true{{ end -}}
{{- end -}}

{{- define "forestay.mountsToken" -}}
{{- if kindIs "bool" .Values.serviceAccount.automount -}}
{{- .Values.serviceAccount.automount -}}
{{- else -}}
{{- eq (include "forestay.asksCluster" .) "true" -}}
{{- end -}}
{{- end -}}

{{/* redis.url, completed with the authority that is mounted. */}}
{{- define "forestay.redisUrl" -}}
{{- $url := .Values.redis.url -}}
{{- if and .Values.redis.tls.caSecret (not (regexMatch "[?&]ca=" $url)) -}}
{{- $url = printf "%s%sca=/etc/forestay/redis/ca.crt" $url (ternary "&" "?" (contains "?" $url)) -}}
{{- if not (or (hasPrefix "rediss:" $url) (regexMatch "[?&]tls=" $url)) -}}
{{- $url = printf "%s&tls=1" $url -}}
{{- end -}}
{{- end -}}
{{- $url -}}
{{- end -}}

{{/* The Secrets whose keys are files of the pod, as sources of a projected volume; empty: none. A key of `auth` may be
     missing; the file is then missing too. */}}
{{- define "forestay.secretSources" -}}
{{- $values := .Values -}}
{{- $sources := list -}}
{{- with $values.auth.existingSecret -}}
{{- $items := list -}}
{{- range $key, $path := dict "jwtSecret" "jwt-secret" "jwtSecretPrevious" "jwt-secret-previous" "jwtPublicKey" "jwt-public-key" "apiKey" "api-key" "apiKeyPrevious" "api-key-previous" "apiKeys" "api-keys.toml" "busSecret" "bus-secret" "busSecretPrevious" "bus-secret-previous" "webhooksSecret" "webhooks-secret" "webhooksSecretPrevious" "webhooks-secret-previous" "hooksSecret" "hooks-secret" "hooksSecretPrevious" "hooks-secret-previous" -}}
{{- with get $values.auth.secretKeys $key }}{{ $items = append $items (dict "key" . "path" $path) }}{{ end -}}
{{- end -}}
{{- $sources = append $sources (dict "secret" (dict "name" . "optional" true "items" $items)) -}}
{{- end -}}
{{- $bus := dict -}}
{{- if $values.redis.enabled -}}
{{- $bus = dict "name" (printf "%s-redis" (include "forestay.fullname" .)) "items" (list (dict "key" "url" "path" "bus-url")) -}}
{{- else if $values.redis.url -}}
{{- $bus = dict "name" (printf "%s-bus" (include "forestay.fullname" .)) "items" (list (dict "key" "redis-url" "path" "bus-url")) -}}
{{- else if $values.redis.existingSecret -}}
{{- $bus = dict "name" $values.redis.existingSecret "items" (list (dict "key" $values.redis.existingSecretKey "path" "bus-url")) -}}
{{- end -}}
{{- with $bus }}{{ $sources = append $sources (dict "secret" .) }}{{ end -}}
{{- with $sources }}{{ toYaml . }}{{ end -}}
{{- end -}}

{{/* What FORESTAY_HOOKS_MODULE is: the name of a module, or a file of the mounted ConfigMap; empty: there is none. */}}
{{- define "forestay.hooksModule" -}}
{{- if .Values.hooks.configMap -}}
/etc/forestay/hooks/{{ default "hooks.py" .Values.hooks.module }}
{{- else -}}
{{- .Values.hooks.module -}}
{{- end -}}
{{- end -}}

{{/* The ports of Redis as a list. A password may have colons, so it goes first. */}}
{{- define "forestay.redisPorts" -}}
{{- if .Values.networkPolicy.redisPorts -}}
{{- toJson .Values.networkPolicy.redisPorts -}}
{{- else -}}
{{- $hosts := .Values.redis.url | regexFind "^[^/]*//[^/?#]*" | replace "//" "@" | splitList "@" | last -}}
{{- $ports := list -}}
{{- range splitList "," $hosts -}}
{{- $ports = append $ports (regexFind ":[0-9]+$" . | trimPrefix ":" | default "6379" | int64) -}}
{{- end -}}
{{- if hasPrefix "redis+sentinel:" .Values.redis.url -}}
{{- $ports = append $ports 6379 -}}
{{- end -}}
{{- toJson ($ports | uniq) -}}
{{- end -}}
{{- end -}}

{{/* The port of a URL; takes (list url default-port). */}}
{{- define "forestay.portOf" -}}
{{- $port := regexFind "^[a-z]+://[^/]*" (first .) | regexFind ":[0-9]+$" | trimPrefix ":" -}}
{{- default (last .) $port | int64 -}}
{{- end -}}

{{/* Whether the requests of one client must reach the same pod: then the path has a Service of its own. */}}
{{- define "forestay.sticks" -}}
{{- if and .Values.socketio.enabled (has "polling" .Values.socketio.transports) }}true{{ end -}}
{{- end -}}

{{/* Names that values decide: under `settings` they would be overruled in silence, and secrets would be readable. */}}
{{- define "forestay.decided" -}}
FORESTAY_ALLOWED_ORIGINS: origins
FORESTAY_PORT: service.port (in the pod it is 8080)
FORESTAY_INTERNAL_PORT: nothing (it is 9090)
FORESTAY_MAX_CONNECTIONS: maxConnections
FORESTAY_MAX_CONNECTIONS_PER_USER: maxConnectionsPerUser
FORESTAY_SECRETS_DIR: auth.existingSecret and redis.existingSecret
FORESTAY_DRAIN_WINDOW: drain.window
FORESTAY_DRAIN_LEAD: drain.lead
FORESTAY_CLOSE_TIMEOUT: drain.close
FORESTAY_FLUSH_TIMEOUT: drain.flush
FORESTAY_DRAIN_DEADLINE: terminationGracePeriodSeconds
FORESTAY_READINESS_BUS: readiness.bus
FORESTAY_REBALANCE_MAX_AGE: rebalance.maxAge
FORESTAY_REBALANCE_SHED: rebalance.shed
FORESTAY_KUBERNETES_EVENTS: events.enabled
FORESTAY_ROOMS_FILE: rooms
FORESTAY_SOCKETIO: socketio.enabled
FORESTAY_SOCKETIO_TRANSPORTS: socketio.transports
FORESTAY_SOCKETIO_PATH: socketio.path
FORESTAY_STREAM: stream.enabled
FORESTAY_JWKS_URL: auth.jwksUrl
FORESTAY_BUS_URL: redis.url or redis.existingSecret
FORESTAY_JWT_SECRET: auth.existingSecret
FORESTAY_JWT_PUBLIC_KEY: auth.existingSecret
FORESTAY_JWT_SECRET_PREVIOUS: auth.existingSecret
FORESTAY_API_KEY: auth.existingSecret
FORESTAY_API_KEY_PREVIOUS: auth.existingSecret
FORESTAY_API_KEYS_FILE: auth.secretKeys.apiKeys
FORESTAY_BUS_SECRET: auth.existingSecret
FORESTAY_BUS_SECRET_PREVIOUS: auth.existingSecret
FORESTAY_HOOKS_URL: hooks.url
FORESTAY_HOOKS_MODULE: hooks.module
FORESTAY_HOOKS_SECRET: auth.existingSecret
FORESTAY_HOOKS_SECRET_PREVIOUS: auth.existingSecret
FORESTAY_WEBHOOKS_URL: webhooks.url
FORESTAY_WEBHOOKS_SECRET: auth.existingSecret
FORESTAY_WEBHOOKS_SECRET_PREVIOUS: auth.existingSecret
{{- end -}}

{{/* The names of all settings, as `make chart-docs` writes them. */}}
{{- define "forestay.known" -}}
{{- .Files.Get "files/settings.txt" | trim | splitList "\n" | toYaml -}}
{{- end -}}

{{/* The pairs of neighbouring letters of a setting's name, without our prefix, as a list. */}}
{{- define "forestay.pairs" -}}
{{- $letters := trimPrefix "FORESTAY_" . | printf " %s " | splitList "" -}}
{{- $pairs := list -}}
{{- range $at := until (sub (len $letters) 1 | int) -}}
{{- $pairs = append $pairs (printf "%s%s" (index $letters $at) (index $letters (add $at 1 | int))) -}}
{{- end -}}
{{- $pairs | uniq | toYaml -}}
{{- end -}}

{{/* The setting whose name shares most pairs of letters with a name; empty where less than half are shared.
     Takes (list $ name). */}}
{{- define "forestay.similar" -}}
{{- $wanted := include "forestay.pairs" (last .) | fromYamlArray -}}
{{- $best := "" -}}
{{- $most := 50 -}}
{{- range $name := include "forestay.known" (first .) | fromYamlArray -}}
{{- $pairs := include "forestay.pairs" $name | fromYamlArray -}}
{{- $shared := 0 -}}
{{- range $pairs }}{{ if has . $wanted }}{{ $shared = add $shared 1 }}{{ end }}{{ end -}}
{{- $share := div (mul 200 $shared) (add (len $pairs) (len $wanted)) -}}
{{- if gt (int $share) (int $most) }}{{ $most = $share }}{{ $best = $name }}{{ end -}}
{{- end -}}
{{- $best -}}
{{- end -}}

{{/* Everything that cannot be, said before anything is rendered. */}}
{{- define "forestay.refusals" -}}
{{- $values := .Values -}}
{{- $scaled := include "forestay.scaled" . -}}
{{- $most := include "forestay.mostReplicas" . | int64 -}}
{{- $least := include "forestay.leastReplicas" . | int64 -}}

{{- /* Not in the schema: its errors repeat the value, and these may have a password. */ -}}
{{- range $name, $url := dict "auth.jwksUrl" $values.auth.jwksUrl "hooks.url" $values.hooks.url "tracing.endpoint" $values.tracing.endpoint "webhooks.url" $values.webhooks.url -}}
{{- if and $url (not (regexMatch `^https?://[^\s@]+$` $url)) -}}
{{- fail (printf "%s is not an http or https address, or has a user, a password or a space; write it like https://app.example.com/path" $name) -}}
{{- end -}}
{{- end -}}
{{- if and $values.redis.url (not (regexMatch `^(redis|rediss|redis\+sentinel|redis\+cluster)://\S+$` $values.redis.url)) -}}
{{- fail "redis.url is not the URL of a Redis, or has a space; write redis://host:6379/0, rediss://host:6379/0, redis+cluster://host:6379,host:6379 or redis+sentinel://host:26379,host:26379/0?master=name, each with user:password@ before the host where it needs one" -}}
{{- end -}}
{{- if regexMatch `^http://` $values.auth.jwksUrl -}}
{{- if not (regexMatch `^http://(localhost|127\.[0-9.]+|\[::1\])([:/]|$)` $values.auth.jwksUrl) -}}
{{- fail "auth.jwksUrl is plain http, so anyone on the network could replace the keys; use https" -}}
{{- end -}}
{{- end -}}

{{- $given := list -}}
{{- range $values.extraEnv }}{{ $given = append $given .name }}{{ end -}}
{{- $keys := list "FORESTAY_JWT_SECRET" "FORESTAY_JWT_PUBLIC_KEY" "FORESTAY_JWT_SECRET_FILE" "FORESTAY_JWT_PUBLIC_KEY_FILE" -}}
{{- $own := false -}}
{{- range $keys }}{{ $own = or $own (has . $given) }}{{ end -}}
{{- if not (or $values.auth.existingSecret $values.auth.jwksUrl $own) -}}
{{- fail "no key for tokens: set auth.existingSecret to a Secret with jwt-secret or jwt-public-key, or auth.jwksUrl to where their issuer publishes its keys. For example: kubectl create secret generic forestay --from-literal=jwt-secret=\"$(openssl rand -base64 48)\" --from-literal=api-key=\"$(openssl rand -base64 48)\", and auth.existingSecret=forestay" -}}
{{- end -}}

{{- range $values.origins -}}
{{- if not (and (regexMatch `^[!-~]+$` .) (regexMatch `^(\*|null|[A-Za-z][A-Za-z0-9+.-]*://[^/,?#@]*)$` .)) -}}
{{- fail (printf "origins: %q is not an origin; write it as scheme://host or scheme://host:port, in ASCII and without a path, such as https://app.example.com" .) -}}
{{- end -}}
{{- end -}}

{{- if and $values.webhooks.url (not $values.auth.existingSecret) (not (or (has "FORESTAY_WEBHOOKS_SECRET" $given) (has "FORESTAY_WEBHOOKS_SECRET_FILE" $given))) -}}
{{- fail "webhooks.url needs a key that signs: put webhooks-secret into the Secret of auth.existingSecret, made with: echo whsec_$(openssl rand -base64 32)" -}}
{{- end -}}

{{- if and $values.hooks.url (or $values.hooks.module $values.hooks.configMap) -}}
{{- fail "hooks.url and hooks.module are both set: hooks have one form, so keep one" -}}
{{- end -}}
{{- if and $values.hooks.configMap (contains "/" $values.hooks.module) -}}
{{- fail (printf "hooks.module: %q is no file of hooks.configMap (%s): write the name of a file in it, or leave hooks.configMap empty for a module of the image" $values.hooks.module $values.hooks.configMap) -}}
{{- end -}}
{{- if and $values.hooks.url (not $values.auth.existingSecret) (not (or (has "FORESTAY_HOOKS_SECRET" $given) (has "FORESTAY_HOOKS_SECRET_FILE" $given))) -}}
{{- fail "hooks.url needs a key that signs: put hooks-secret into the Secret of auth.existingSecret, made with: echo whsec_$(openssl rand -base64 32)" -}}
{{- end -}}

{{- $buses := list -}}
{{- if $values.redis.url }}{{ $buses = append $buses "redis.url" }}{{ end -}}
{{- if $values.redis.existingSecret }}{{ $buses = append $buses "redis.existingSecret" }}{{ end -}}
{{- if $values.redis.enabled }}{{ $buses = append $buses "redis.enabled" }}{{ end -}}
{{- if gt (len $buses) 1 -}}
{{- fail (printf "%s are set: one says where Redis is, so keep one" (join " and " $buses)) -}}
{{- end -}}
{{- $ownBus := or (has "FORESTAY_BUS_URL" $given) (has "FORESTAY_BUS_URL_FILE" $given) -}}
{{- if and (not $buses) (not $ownBus) (or $scaled (gt $most 1)) -}}
{{- fail "several pods hear each other through Redis only: set redis.url, redis.existingSecret or, to try it out, redis.enabled=true; or have one pod with replicaCount=1 and autoscaling.mode=none" -}}
{{- end -}}

{{- $decided := include "forestay.decided" . | fromYaml -}}
{{- range $given -}}
{{- if or (and $values.auth.existingSecret (has . (list "FORESTAY_JWT_SECRET" "FORESTAY_JWT_SECRET_PREVIOUS" "FORESTAY_JWT_PUBLIC_KEY" "FORESTAY_API_KEY" "FORESTAY_API_KEY_PREVIOUS" "FORESTAY_BUS_SECRET" "FORESTAY_BUS_SECRET_PREVIOUS" "FORESTAY_WEBHOOKS_SECRET" "FORESTAY_WEBHOOKS_SECRET_PREVIOUS" "FORESTAY_HOOKS_SECRET" "FORESTAY_HOOKS_SECRET_PREVIOUS"))) (and $buses (eq . "FORESTAY_BUS_URL")) -}}
{{- fail (printf "extraEnv: %s is set already, by %s" . (get $decided .)) -}}
{{- end -}}
{{- end -}}
{{- range $name, $_ := $values.settings -}}
{{- $plain := trimSuffix "_FILE" $name -}}
{{- with get $decided $name | default (get $decided $plain) | default "" -}}
{{- fail (printf "settings.%s: this is what %s is for" $name .) -}}
{{- end -}}
{{- if not (has $plain (include "forestay.known" $ | fromYamlArray)) -}}
{{- $similar := include "forestay.similar" (list $ $name) -}}
{{- fail (printf "settings.%s: the gateway has no such setting%s docs/settings.md lists them; variables of your own belong into extraEnv" $name (ternary "." (printf "; did you mean %s?" $similar) (empty $similar))) -}}
{{- end -}}
{{- if has $name $given -}}
{{- fail (printf "%s stands in both settings and extraEnv: keep one" $name) -}}
{{- end -}}
{{- end -}}

{{- $drain := include "forestay.drain" . | fromYaml -}}
{{- if and $drain.window (lt (int64 $drain.window) (int64 (ceil (mulf 2.0 $drain.lead)))) -}}
{{- fail "drain.lead is at most half of drain.window" -}}
{{- end -}}
{{- if not $drain.close -}}
{{- fail "drain.close is above 0: clients need a moment to answer their close frame" -}}
{{- end -}}

{{- if $scaled -}}
{{- if gt $least $most -}}
{{- fail (printf "autoscaling.min is %d and autoscaling.max %d: the least cannot be above the most" $least $most) -}}
{{- end -}}
{{- if and $values.autoscaling.cpu (not ((($values.resources).requests).cpu)) -}}
{{- fail "autoscaling.cpu is a share of resources.requests.cpu: set that, or autoscaling.cpu=0" -}}
{{- end -}}
{{- if gt (include "forestay.targetConnections" . | int64) (int64 $values.maxConnections) -}}
{{- fail "autoscaling.connections is above maxConnections: pods would be full before there are more of them" -}}
{{- end -}}
{{- if and (eq $values.autoscaling.mode "hpa") (not $values.autoscaling.cpu) (not $values.autoscaling.hpa.connectionsMetric) -}}
{{- fail "autoscaling.mode=hpa has nothing to look at: set autoscaling.cpu or autoscaling.hpa.connectionsMetric" -}}
{{- end -}}
{{- end -}}

{{- $budget := $values.podDisruptionBudget -}}
{{- if and $budget.enabled (gt $most 1) -}}
{{- $stay := toString (default "" $budget.minAvailable) -}}
{{- $go := toString $budget.maxUnavailable -}}
{{- if and $stay (not (has $go (list "" "<nil>"))) -}}
{{- fail "podDisruptionBudget.minAvailable and podDisruptionBudget.maxUnavailable exclude each other: keep one" -}}
{{- end -}}
{{- if or (has $go (list "0" "0%")) (eq $stay "100%") (and (not (hasSuffix "%" $stay)) $stay (ge (int64 $budget.minAvailable) $least)) -}}
{{- fail (printf "podDisruptionBudget would let no pod go, and block the drain of every node: of at least %d pods one must be able to" $least) -}}
{{- end -}}
{{- end -}}

{{- if and $values.httpRoute.enabled (not $values.httpRoute.parentRefs) -}}
{{- fail "httpRoute.enabled needs a Gateway: set httpRoute.parentRefs" -}}
{{- end -}}
{{- if and $values.ingress.enabled (not $values.ingress.hosts) -}}
{{- fail "ingress.enabled needs a host: set ingress.hosts" -}}
{{- end -}}
{{- end -}}
