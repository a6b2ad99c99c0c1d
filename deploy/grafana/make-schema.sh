#!/bin/bash
# Makes dashboard.schema.json from Grafana's own types (npm package @grafana/schema), in a temporary folder; needs Node and
# Python. Prints the schema: `./make-schema.sh > dashboard.schema.json`.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent @grafana/schema@13.2.3 ts-json-schema-generator@2.4.0 typescript@5.9.3 1>&2
echo '{"compilerOptions":{"skipLibCheck":true,"module":"esnext","moduleResolution":"bundler"}}' > tsconfig.json

# make FILE TYPE OUT
make() {
  npx ts-json-schema-generator --path "node_modules/@grafana/schema/dist/types/raw/$1/x/types.gen.d.ts" --type "$2" \
    --no-type-check --expose none --jsDoc none --tsconfig tsconfig.json --out "$3"
}
make dashboard Dashboard dashboard.json
for panel in timeseries stat bargauge table; do
  make "composable/$panel/panelcfg" Options "$panel-options.json"
done
for panel in timeseries table; do
  make "composable/$panel/panelcfg" FieldConfig "$panel-field.json"
done

python3 - <<'END'
import json

def type_of(file):
    schema = json.load(open(file))
    return schema["definitions"][schema["$ref"].rsplit("/", 1)[1]]

dashboard = type_of("dashboard.json")
panels, row = dashboard["properties"]["panels"]["items"]["anyOf"]
# The type leaves open what each kind of panel says of itself; those that we use say it here. Others we do not use.
kinds = {"timeseries": True, "table": True, "stat": False, "bargauge": False}
panels["properties"]["type"] = {"enum": list(kinds)}
row["properties"]["type"] = {"const": "row"}
panels["allOf"] = []
for kind, has_field in kinds.items():
    then = {"options": type_of(f"{kind}-options.json")}
    if has_field:
        defaults = {"properties": {"custom": type_of(f"{kind}-field.json")}}
        then["fieldConfig"] = {"properties": {"defaults": defaults}}
    panels["allOf"].append({"if": {"properties": {"type": {"const": kind}}}, "then": {"properties": then}})
# "This should be a regular DataQuery", says the type of an annotation's target of itself; and what becomes of the answer
# stands beside it.
note = dashboard["properties"]["annotations"]["properties"]["list"]["items"]
text = {"type": "string"}
query = {"expr": text, "interval": text, "refId": text}
note["properties"]["target"] = {"type": "object", "properties": query, "required": ["expr", "refId"], "additionalProperties": False}
note["properties"].update(tagKeys=text, titleFormat=text, textFormat=text)
print(json.dumps({"$schema": "http://json-schema.org/draft-07/schema#", **dashboard}, separators=(",", ":"), sort_keys=True))
END
