"""A till outside Hexiao: sells a punch card, redeems its first unit, and turns a wrong code away.

    pip install confluent-kafka
    python datasets/samples/producer.py --bootstrap 127.0.0.1:9092

Exits with 1 unless the brokers acknowledged every event. datasets/README.md says what each field means.
"""

import argparse
import json
import sys
import time
from datetime import datetime, timedelta, timezone

from confluent_kafka import Producer

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--bootstrap", required=True, help="host:port of a broker")
parser.add_argument("--prefix", default="hexiao.", help="what stands before the stream in a topic's name")
asked = parser.parse_args()

# Ids are 64-bit, unique within the source and rise with time; in JSON they are text. Times carry the store's offset.
first = time.time_ns()
order, card, redemption, *event_ids = (str(first + n) for n in range(6))
now = datetime.now(timezone(timedelta(hours=8))).isoformat(timespec="seconds")
envelopes = [{"source": "example-pos", "event_id": i, "occurred_at": now, "schema_version": 1, "channel": "till"} for i in event_ids]
line = {"order_id": order, "entitlement_id": card, "product_id": "P01", "product_version": 1, "product_type": "punch_card", "sold_store_id": "S001", "vat_rate_bp": 600}
sold = {"type": "sold", "kind": "card", "units": 10, "paid_fen": 98_000, "list_price_fen": 100_000, "applicable_store_ids": ["S001", "S002"]}
redeemed = {"type": "redeemed", "redemption_id": redemption, "unit_ordinal": 1, "redeemed_store_id": "S002", "remaining_before": 10, "remaining_after": 9, "value_fen": 9_800, "sold_at": now}
refused = {"type": "refused", "store_id": "S002", "terminal_id": "S002-POS1", "reason": "unknown_code", "rule": "R10", "units": 1}

# One key per card keeps its events in order: the entitlement, else the order, else the terminal.
events = [
    ("orders", f"entitlement:{card}", envelopes[0] | line | sold),
    ("redemptions", f"entitlement:{card}", envelopes[1] | line | redeemed),
    ("refusals", "terminal:S002-POS1", envelopes[2] | refused),
]
acknowledged = []


def delivered(error, message):
    if error:
        return print(f"{message.topic()}: not delivered: {error.str()}", file=sys.stderr)
    acknowledged.append(message)
    print(f"{message.topic()} {message.partition()} {message.offset()} {json.loads(message.value())['event_id']}")


# All replicas in sync have an event before it counts, and a retry makes no second copy. What isn't acknowledged within
# 30 s has failed; a topic that isn't there is given up earlier, so that the error says so.
patience = {"delivery.timeout.ms": 30_000, "topic.metadata.propagation.max.ms": 10_000}
producer = Producer({"bootstrap.servers": asked.bootstrap, "enable.idempotence": True, "acks": "all", **patience})
for stream, key, event in events:
    producer.produce(asked.prefix + stream, key=key, value=json.dumps(event, ensure_ascii=False), on_delivery=delivered)
producer.flush()
sys.exit(len(acknowledged) != len(events))
