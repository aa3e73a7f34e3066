{{/* The files of a gateway, in its own pods and where `helm test` looks after what they need. */}}

{{- define "forestay.mounts" -}}
- {name: tmp, mountPath: /tmp}
{{- if include "forestay.rooms" . }}
- {name: rooms, mountPath: /etc/forestay/rooms, readOnly: true}
{{- end }}
{{- if .Values.hooks.configMap }}
- {name: hooks, mountPath: /etc/forestay/hooks, readOnly: true}
{{- end }}
{{- if include "forestay.secretSources" . }}
- {name: secrets, mountPath: /etc/forestay/secrets, readOnly: true}
{{- end }}
{{- if .Values.redis.tls.caSecret }}
- {name: redis-ca, mountPath: /etc/forestay/redis, readOnly: true}
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{- toYaml . | nindent 0 }}
{{- end }}
{{- end -}}

{{- define "forestay.volumes" -}}
- name: tmp
  emptyDir: {sizeLimit: 64Mi}
{{- if include "forestay.rooms" . }}
- name: rooms
  configMap: {name: {{ include "forestay.fullname" . }}-rooms}
{{- end }}
{{- with .Values.hooks.configMap }}
- name: hooks
  configMap: {name: {{ . }}}
{{- end }}
{{- with include "forestay.secretSources" . }}
# Files, and no variables: those of a process can be read by all that it starts, and are in every crash report.
- name: secrets
  projected:
    defaultMode: 0444
    sources:
      {{- . | nindent 6 }}
{{- end }}
{{- with .Values.redis.tls.caSecret }}
- name: redis-ca
  secret:
    secretName: {{ quote . }}
    items:
      - {key: {{ $.Values.redis.tls.caKey | quote }}, path: ca.crt}
{{- end }}
{{- with .Values.extraVolumes }}
{{- toYaml . | nindent 0 }}
{{- end }}
{{- end -}}
