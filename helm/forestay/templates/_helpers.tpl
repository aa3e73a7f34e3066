{{/* Names, labels and small conversions. What is decided from several values stands in _decisions.tpl. */}}

{{- define "forestay.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* Short enough that the longest of our suffixes still makes the name of a Service. */}}
{{- define "forestay.fullname" -}}
{{- $name := .Values.fullnameOverride -}}
{{- if not $name -}}
{{- $base := include "forestay.name" . -}}
{{- $name = ternary .Release.Name (printf "%s-%s" .Release.Name $base) (contains $base .Release.Name) -}}
{{- end -}}
{{- $name = $name | replace "." "-" | trunc 50 | trimSuffix "-" -}}
{{- if not (regexMatch "^[a-z]" $name) -}}
{{- fail (printf "a Service cannot be called %q: set fullnameOverride to a name that begins with a letter" $name) -}}
{{- end -}}
{{- $name -}}
{{- end -}}

{{- define "forestay.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride -}}
{{- end -}}

{{- define "forestay.serviceAccountName" -}}
{{- default (ternary (include "forestay.fullname" .) "default" .Values.serviceAccount.create) .Values.serviceAccount.name -}}
{{- end -}}

{{/* What stands in front of all public paths. The gateway reads the prefix with and without slashes around it. */}}
{{- define "forestay.prefix" -}}
{{- with get (default dict .Values.settings) "FORESTAY_PATH_PREFIX" | toString | trimAll "/" }}/{{ . }}{{ end -}}
{{- end -}}

{{/* The path where native clients connect. */}}
{{- define "forestay.socketPath" -}}
{{ include "forestay.prefix" . }}/ws
{{- end -}}

{{/* The path of Socket.IO. */}}
{{- define "forestay.socketioPath" -}}
{{ include "forestay.prefix" . }}{{ .Values.socketio.path }}
{{- end -}}

{{/* The address of a page of this version's docs. The chart knows where it comes from once it is published. Takes
     (list $ page). */}}
{{- define "forestay.page" -}}
{{- with (first .).Chart.Home }}{{ . | trimSuffix "/" }}/blob/v{{ (first $).Chart.AppVersion }}/{{ end }}{{ last . -}}
{{- end -}}

{{/* What selects pods: it never changes between versions, for a Deployment's selector cannot be changed.
     Takes (list $ component). */}}
{{- define "forestay.selector" -}}
app.kubernetes.io/name: {{ include "forestay.name" (first .) | quote }}
app.kubernetes.io/instance: {{ (first .).Release.Name | quote }}
app.kubernetes.io/component: {{ last . }}
{{- end -}}

{{/* One path of an Ingress. Takes (list $ path type suffix-of-the-service). */}}
{{- define "forestay.ingressPath" -}}
- path: {{ index . 1 | quote }}
  pathType: {{ index . 2 }}
  backend:
    service:
      name: {{ list (include "forestay.fullname" (first .)) (last .) | compact | join "-" | quote }}
      port: {name: public}
{{- end -}}

{{/* All labels of an object; ours win. Takes (list $ component own-labels). */}}
{{- define "forestay.labels" -}}
{{- $ := index . 0 -}}
{{- $ours := include "forestay.selector" (list $ (index . 1)) | fromYaml -}}
{{- $_ := set $ours "app.kubernetes.io/version" $.Chart.AppVersion -}}
{{- $_ := set $ours "app.kubernetes.io/part-of" "forestay" -}}
{{- $_ := set $ours "app.kubernetes.io/managed-by" $.Release.Service -}}
{{- $_ := set $ours "helm.sh/chart" (printf "%s-%s" $.Chart.Name $.Chart.Version | replace "+" "_" | trunc 63) -}}
{{- toYaml (mergeOverwrite (dict) (default (dict) $.Values.commonLabels) (default (dict) (index . 2)) $ours) -}}
{{- end -}}

{{/* The head of an object. Takes a dict: root, component; name or suffix, labels, annotations, namespace as needed. */}}
{{- define "forestay.metadata" -}}
{{- $ := .root -}}
name: {{ list (default (include "forestay.fullname" $) .name) .suffix | compact | join "-" | quote }}
namespace: {{ default (include "forestay.namespace" $) .namespace | quote }}
labels:
  {{- include "forestay.labels" (list $ .component .labels) | nindent 2 }}
{{- with mergeOverwrite (dict) (default (dict) $.Values.commonAnnotations) (default (dict) .annotations) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Takes (dict "root" $ "image" .Values.…image). */}}
{{- define "forestay.image" -}}
{{- $registry := default .image.registry .root.Values.global.imageRegistry -}}
{{- with $registry }}{{ . | trimSuffix "/" }}/{{ end }}{{ .image.repository }}
{{- if .image.digest }}@{{ .image.digest }}{{ else }}:{{ default .root.Chart.AppVersion .image.tag }}{{ end }}
{{- end -}}

{{/* Labels of pods: nothing that changes with a release alone, or every upgrade of the chart would move all clients.
     Takes (list $ component own-labels). */}}
{{- define "forestay.podLabels" -}}
{{- $ := index . 0 -}}
{{- $ours := include "forestay.selector" (list $ (index . 1)) | fromYaml -}}
{{- $_ := set $ours "app.kubernetes.io/part-of" "forestay" -}}
{{- toYaml (mergeOverwrite (dict) (default (dict) $.Values.commonLabels) (default (dict) (index . 2)) $ours) -}}
{{- end -}}

{{/* `imagePullSecrets` of a pod; names and objects are both usual. */}}
{{- define "forestay.pullSecrets" -}}
{{- $secrets := list -}}
{{- range concat (default (list) .Values.global.imagePullSecrets) (default (list) .Values.image.pullSecrets) -}}
{{- if kindIs "map" . }}{{ $secrets = append $secrets (pick . "name") }}{{ else }}{{ $secrets = append $secrets (dict "name" .) }}{{ end -}}
{{- end -}}
{{- with $secrets | uniq -}}
{{- toYaml . -}}
{{- end -}}
{{- end -}}

{{/* A value of a variable as text. Large numbers come as floats, which would be printed as 1e+06. */}}
{{- define "forestay.text" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) -}}{{ int64 . }}{{- else -}}{{ . }}{{- end -}}
{{- end -}}

{{/* A list with templates in it. Takes (list $ value). */}}
{{- define "forestay.evaluated" -}}
{{- tpl (toYaml (last .)) (first .) -}}
{{- end -}}

{{/* `rooms`, and the rules of Socket.IO, as the file that the gateway reads; empty: none. A list is written by hand:
     toToml makes floats of its numbers. The rules come first, for tables may follow the text of a file. */}}
{{- define "forestay.rooms" -}}
{{- if .Values.socketio.enabled -}}
{{- range .Values.socketio.events -}}
[[events]]
{{ range $key, $value := . -}}
{{ $key }} = {{ toJson $value }}
{{ end }}
{{ end -}}
{{- range .Values.socketio.namespaces -}}
[[namespaces]]
{{ range $key, $value := . -}}
{{ $key }} = {{ toJson $value }}
{{ end }}
{{ end -}}
{{- end -}}
{{- if kindIs "string" .Values.rooms -}}
{{ .Values.rooms }}
{{- else -}}
{{- range .Values.rooms -}}
[[rooms]]
{{ range $key, $value := omit . "history" -}}
{{ $key }} = {{ toJson $value }}
{{ end -}}
{{- with .history -}}
[rooms.history]
size = {{ int64 .size }}
ttl = {{ include "forestay.seconds" .ttl }}
{{ with .bytes }}bytes = {{ int64 . }}
{{ end -}}
{{ end }}
{{ end -}}
{{- end -}}
{{- end -}}

{{/* What our containers may do where no value says it. Takes a user id. */}}
{{- define "forestay.restricted" -}}
allowPrivilegeEscalation: false
capabilities: {drop: [ALL]}
privileged: false
readOnlyRootFilesystem: true
runAsNonRoot: true
runAsUser: {{ . }}
runAsGroup: {{ . }}
seccompProfile: {type: RuntimeDefault}
{{- end -}}
