{{/* The variables of the gateway, as a list. What is secret comes from Secrets, as files. */}}
{{- define "forestay.environment" -}}
{{- $values := .Values -}}
{{- $drain := include "forestay.drain" . | fromYaml -}}
- name: POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: POD_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
- name: POD_UID
  valueFrom: {fieldRef: {fieldPath: metadata.uid}}
- name: SERVICE_NAME
  value: {{ include "forestay.fullname" . | quote }}
- name: FORESTAY_MAX_CONNECTIONS
  value: {{ int64 $values.maxConnections | quote }}
- name: FORESTAY_MAX_CONNECTIONS_PER_USER
  value: {{ int64 $values.maxConnectionsPerUser | quote }}
{{- with $values.origins }}
- name: FORESTAY_ALLOWED_ORIGINS
  value: {{ join " " . | quote }}
{{- end }}
- name: FORESTAY_DRAIN_WINDOW
  value: {{ int64 $drain.window | quote }}
- name: FORESTAY_DRAIN_LEAD
  value: {{ include "forestay.text" $drain.lead | quote }}
- name: FORESTAY_CLOSE_TIMEOUT
  value: {{ int64 $drain.close | quote }}
- name: FORESTAY_FLUSH_TIMEOUT
  value: {{ int64 $drain.flush | quote }}
- name: FORESTAY_DRAIN_DEADLINE
  value: {{ include "forestay.deadline" . | quote }}
- name: FORESTAY_READINESS_BUS
  value: {{ $values.readiness.bus }}
- name: FORESTAY_REBALANCE_MAX_AGE
  value: {{ include "forestay.seconds" $values.rebalance.maxAge | quote }}
- name: FORESTAY_REBALANCE_SHED
  value: {{ $values.rebalance.shed | quote }}
- name: FORESTAY_KUBERNETES_EVENTS
  value: {{ $values.events.enabled | quote }}
- name: FORESTAY_SOCKETIO
  value: {{ $values.socketio.enabled | quote }}
{{- if $values.socketio.enabled }}
- name: FORESTAY_SOCKETIO_TRANSPORTS
  value: {{ join " " $values.socketio.transports | quote }}
- name: FORESTAY_SOCKETIO_PATH
  value: {{ $values.socketio.path | quote }}
{{- end }}
- name: FORESTAY_STREAM
  value: {{ $values.stream.enabled | quote }}
{{- with $values.webhooks.url }}
- name: FORESTAY_WEBHOOKS_URL
  value: {{ quote . }}
{{- end }}
{{- with $values.hooks.url }}
- name: FORESTAY_HOOKS_URL
  value: {{ quote . }}
{{- end }}
{{- with include "forestay.hooksModule" . }}
- name: FORESTAY_HOOKS_MODULE
  value: {{ quote . }}
{{- end }}
{{- if include "forestay.rooms" . }}
- name: FORESTAY_ROOMS_FILE
  value: /etc/forestay/rooms/rooms.toml
{{- end }}
{{- if include "forestay.secretSources" . }}
- name: FORESTAY_SECRETS_DIR
  value: /etc/forestay/secrets
{{- end }}
{{- if and $values.auth.existingSecret $values.auth.secretKeys.apiKeys }}
- name: FORESTAY_API_KEYS_FILE
  value: /etc/forestay/secrets/api-keys.toml
{{- end }}
{{- with $values.auth.jwksUrl }}
- name: FORESTAY_JWKS_URL
  value: {{ quote . }}
{{- end }}
{{- with $values.tracing.endpoint }}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ quote . }}
- name: OTEL_TRACES_SAMPLER
  value: parentbased_traceidratio
- name: OTEL_TRACES_SAMPLER_ARG
  value: {{ include "forestay.text" $values.tracing.ratio | quote }}
- name: OTEL_SERVICE_NAME
  value: {{ include "forestay.fullname" $ | quote }}
- name: NODE_NAME
  valueFrom: {fieldRef: {fieldPath: spec.nodeName}}
- name: OTEL_RESOURCE_ATTRIBUTES
  value: service.namespace=$(POD_NAMESPACE),k8s.namespace.name=$(POD_NAMESPACE),k8s.pod.name=$(POD_NAME),k8s.pod.uid=$(POD_UID),k8s.node.name=$(NODE_NAME)
{{- end }}
{{- range $name, $value := $values.settings }}
- name: {{ $name }}
  value: {{ include "forestay.text" $value | quote }}
{{- end }}
{{- end -}}

{{/* Ours and the user's. A name that stands twice would be refused by the API server in words that help nobody. */}}
{{- define "forestay.allEnvironment" -}}
{{- $all := include "forestay.environment" . | fromYamlArray -}}
{{- $names := list -}}
{{- range $all }}{{ $names = append $names .name }}{{ end -}}
{{- range $each := .Values.extraEnv -}}
{{- if has $each.name $names -}}
{{- $value := include "forestay.decided" $ | fromYaml | dig $each.name "" -}}
{{- fail (printf "extraEnv: %s is set already%s" $each.name (ternary (printf ", by %s" $value) "" (ne $value ""))) -}}
{{- end -}}
{{- $names = append $names $each.name -}}
{{- $all = append $all $each -}}
{{- end -}}
{{- toYaml $all -}}
{{- end -}}
