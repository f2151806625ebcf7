"""Which messages a stream's schema takes.

Reads one JSON object from stdin: `schemas` by stream, and `messages` as pairs of stream and text. Prints an array with true
for each message that its schema takes.
"""

import json
import sys

from jsonschema import Draft7Validator, Draft202012Validator

given = json.load(sys.stdin)
validators = {}
for stream, schema in given["schemas"].items():
    Draft202012Validator.check_schema(schema)
    # AsyncAPI embeds the same words, and reads them as draft 7.
    Draft7Validator.check_schema({name: value for name, value in schema.items() if name != "$schema"})
    validators[stream] = Draft202012Validator(schema)


def takes(stream, text):
    try:
        return validators[stream].is_valid(json.loads(text))
    except ValueError:
        return False


json.dump([takes(stream, text) for stream, text in given["messages"]], sys.stdout)
