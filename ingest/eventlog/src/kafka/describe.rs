//! What the brokers say of topics: their ids and how many partitions they have.
//!
//! A topic that was deleted and created again has the old name and another id, and its offsets start anew: only the id tells
//! the two apart. `rdkafka` 0.39 has no DescribeTopics, so this calls librdkafka itself; it is the one place with unsafe
//! code. Each pointer is freed by the guard made where it comes from; what librdkafka hands out of an event is read before
//! the event goes.
#![allow(unsafe_code, reason = "librdkafka's DescribeTopics has no safe wrapper")]

use std::ffi::{CStr, CString, c_char};
use std::time::Duration;

use rdkafka::bindings as rd;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;

/// A topic as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Described {
    pub(super) name: String,
    pub(super) id: String,
    pub(super) partitions: i32,
}

/// Calls a function when it is dropped.
struct Guard<F: FnMut()>(F);

impl<F: FnMut()> Drop for Guard<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// The topics of these names; those that don't exist are left out. Blocks until the brokers answer.
pub(super) fn describe<C: ClientContext>(
    client: &Client<C>,
    topics: &[String],
    timeout: Duration,
) -> KafkaResult<Vec<Described>> {
    let names = topics.iter().map(|name| CString::new(name.as_str())).collect::<Result<Vec<_>, _>>()?;
    let mut names: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
    let timeout_ms = timeout.as_millis() as i32;
    let check = |code: RDKafkaRespErr| match RDKafkaErrorCode::from(code) {
        RDKafkaErrorCode::NoError => Ok(()),
        code => Err(KafkaError::AdminOp(code)),
    };
    // SAFETY: the client outlives the call. `names` points to strings that live to its end, and librdkafka copies them.
    // Collection, options and queue are freed by their guards; the event is polled off our own queue and freed after the
    // last use of what belongs to it. Functions that may answer null are checked; counts bound the arrays they came with.
    unsafe {
        let native = client.native_ptr();
        let collection = rd::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len());
        let _collection = Guard(|| rd::rd_kafka_TopicCollection_destroy(collection));
        let options = rd::rd_kafka_AdminOptions_new(native, rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS);
        let _options = Guard(|| rd::rd_kafka_AdminOptions_destroy(options));
        check(rd::rd_kafka_AdminOptions_set_request_timeout(options, timeout_ms, std::ptr::null_mut(), 0))?;
        let queue = rd::rd_kafka_queue_new(native);
        let _queue = Guard(|| rd::rd_kafka_queue_destroy(queue));
        rd::rd_kafka_DescribeTopics(native, collection, options, queue);
        // The request has its own timeout; its answer comes in any case.
        let event = rd::rd_kafka_queue_poll(queue, timeout_ms.saturating_add(1_000));
        if event.is_null() {
            return Err(KafkaError::AdminOp(RDKafkaErrorCode::OperationTimedOut));
        }
        let _event = Guard(|| rd::rd_kafka_event_destroy(event));
        check(rd::rd_kafka_event_error(event))?;
        let result = rd::rd_kafka_event_DescribeTopics_result(event);
        if result.is_null() {
            return Err(KafkaError::AdminOp(RDKafkaErrorCode::BadMessage));
        }
        let mut count = 0;
        let found = rd::rd_kafka_DescribeTopics_result_topics(result, &mut count);
        let mut described = Vec::with_capacity(count);
        for i in 0..count {
            let topic = *found.add(i);
            match check(rd::rd_kafka_error_code(rd::rd_kafka_TopicDescription_error(topic))) {
                Ok(()) => {}
                Err(KafkaError::AdminOp(RDKafkaErrorCode::UnknownTopicOrPartition)) => continue,
                Err(error) => return Err(error),
            }
            let text = |pointer: *const c_char| CStr::from_ptr(pointer).to_string_lossy().into_owned();
            let mut partitions = 0;
            rd::rd_kafka_TopicDescription_partitions(topic, &mut partitions);
            described.push(Described {
                name: text(rd::rd_kafka_TopicDescription_name(topic)),
                id: text(rd::rd_kafka_Uuid_base64str(rd::rd_kafka_TopicDescription_topic_id(topic))),
                partitions: partitions as i32,
            });
        }
        Ok(described)
    }
}
