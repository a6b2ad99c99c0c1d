//! Requests that the `rdkafka` crate does not have: descriptions of topics and groups with the operations allowed on
//! them, the member's generation, and the client's OAUTHBEARER token.

use rdkafka::client::{Client, ClientContext};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka_sys as sys;
use std::ffi::{CStr, CString, c_char, c_int};
use std::ptr;
use std::time::Duration;
use sys::bindings as native;
use sys::rd_kafka_resp_err_t as Code;

/// An operation of access control lists.
pub type Operation = native::rd_kafka_AclOperation_t;

/// The broker's description of a topic or a group.
#[derive(Clone, Debug)]
pub struct Description {
    pub name: String,
    pub error: Option<RDKafkaErrorCode>,
    /// Identifier of a topic, which differs from that of a later topic of the same name; empty if the broker has none
    /// (before 2.8).
    pub id: String,
    /// Number of replicas of each partition; empty for a group.
    pub replicas: Vec<usize>,
    /// Operations that we are allowed; `None` if the broker does not report them.
    pub allowed: Option<Vec<Operation>>,
    /// Names and hosts of a group's members.
    pub members: Vec<String>,
}

/// Sets the token with which a client authenticates from now on.
pub fn set_token<C: ClientContext>(
    client: &Client<C>,
    text: &str,
    expires_at: i64,
    subject: &str,
) -> Result<(), String> {
    let (text, subject) = (c_string(text)?, c_string(subject)?);
    let mut message = [0 as c_char; 512];
    // SAFETY: the client is alive; texts are copied; the buffer has the length that is passed.
    let code = unsafe {
        native::rd_kafka_oauthbearer_set_token(
            client.native_ptr(),
            text.as_ptr(),
            expires_at,
            subject.as_ptr(),
            ptr::null_mut(),
            0,
            message.as_mut_ptr(),
            message.len(),
        )
    };
    if code == Code::RD_KAFKA_RESP_ERR_NO_ERROR {
        return Ok(());
    }
    // SAFETY: the buffer ends with zero.
    let message = unsafe { CStr::from_ptr(message.as_ptr()) }.to_string_lossy();
    Err(format!("the Kafka client refuses the token: {message}"))
}

/// Whether the group has answered a consumer that joins it, which gives the consumer a generation or an epoch.
pub fn has_generation<C: ClientContext>(consumer: &Client<C>) -> bool {
    // SAFETY: the client is alive; the metadata is ours, and destroyed after it has been read.
    unsafe {
        let metadata = native::rd_kafka_consumer_group_metadata(consumer.native_ptr());
        if metadata.is_null() {
            return false;
        }
        let generation = native::rd_kafka_consumer_group_metadata_generation_id(metadata);
        native::rd_kafka_consumer_group_metadata_destroy(metadata);
        generation > 0
    }
}

/// Describes topics, in the order of `names`.
pub fn describe_topics<C: ClientContext>(
    client: &Client<C>,
    names: &[&str],
    wait: Duration,
) -> Result<Vec<Description>, RDKafkaErrorCode> {
    let names: Vec<CString> = names.iter().map(|name| c_string(name).unwrap_or_default()).collect();
    let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
    let kind = native::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
    // SAFETY: the collection copies the names and is destroyed after the call that reads it.
    let event = unsafe {
        let topics = native::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
        let event = request(client, kind, wait, |client, options, queue| {
            native::rd_kafka_DescribeTopics(client, topics, options, queue);
        });
        native::rd_kafka_TopicCollection_destroy(topics);
        event?
    };
    // SAFETY: the event answers the request above; what it points to lives as long as the event.
    let mut described: Vec<Description> = unsafe {
        let result = native::rd_kafka_event_DescribeTopics_result(event.0);
        let mut count = 0;
        let topics = native::rd_kafka_DescribeTopics_result_topics(result, &mut count);
        slice(topics, count).iter().map(|topic| topic_of(*topic)).collect()
    };
    described.sort_by_key(|topic| names.iter().position(|name| name.to_bytes() == topic.name.as_bytes()));
    Ok(described)
}

/// Describes a consumer group, also one that does not exist yet.
pub fn describe_group<C: ClientContext>(
    client: &Client<C>,
    name: &str,
    wait: Duration,
) -> Result<Description, RDKafkaErrorCode> {
    let group = c_string(name).unwrap_or_default();
    let mut pointers = [group.as_ptr()];
    let kind = native::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS;
    // SAFETY: the name outlives the call, which copies it.
    let event = unsafe {
        request(client, kind, wait, |client, options, queue| {
            native::rd_kafka_DescribeConsumerGroups(client, pointers.as_mut_ptr(), 1, options, queue);
        })?
    };
    // SAFETY: the event answers the request above; what it points to lives as long as the event.
    unsafe {
        let result = native::rd_kafka_event_DescribeConsumerGroups_result(event.0);
        let mut count = 0;
        let groups = native::rd_kafka_DescribeConsumerGroups_result_groups(result, &mut count);
        let group = *slice(groups, count).first().ok_or(RDKafkaErrorCode::GroupIdNotFound)?;
        let mut count = 0;
        let allowed = native::rd_kafka_ConsumerGroupDescription_authorized_operations(group, &mut count);
        Ok(Description {
            name: name.to_owned(),
            error: code_of(native::rd_kafka_ConsumerGroupDescription_error(group)),
            id: String::new(),
            replicas: Vec::new(),
            members: (0..native::rd_kafka_ConsumerGroupDescription_member_count(group))
                .map(|index| member_of(native::rd_kafka_ConsumerGroupDescription_member(group, index)))
                .collect(),
            allowed: (!allowed.is_null()).then(|| slice(allowed, count).to_vec()),
        })
    }
}

/// An answer, destroyed when dropped.
struct Event(*mut native::rd_kafka_event_t);

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: ours, and destroyed once.
        unsafe { native::rd_kafka_event_destroy(self.0) };
    }
}

/// Sends a request that includes the authorised operations, and waits for the answer.
///
/// # Safety
/// `send` must pass the queue to a request of this kind.
unsafe fn request<C: ClientContext>(
    client: &Client<C>,
    kind: native::rd_kafka_admin_op_t,
    wait: Duration,
    send: impl FnOnce(*mut native::rd_kafka_t, *const native::rd_kafka_AdminOptions_t, *mut native::rd_kafka_queue_t),
) -> Result<Event, RDKafkaErrorCode> {
    let wait_ms = wait.as_millis().max(1) as c_int;
    // SAFETY: the client is alive; options and queue are made and destroyed here, after the request has answered or
    // timed out.
    unsafe {
        let client = client.native_ptr();
        let options = native::rd_kafka_AdminOptions_new(client, kind);
        let mut message = [0 as c_char; 256];
        native::rd_kafka_AdminOptions_set_request_timeout(options, wait_ms, message.as_mut_ptr(), message.len());
        let refused = native::rd_kafka_AdminOptions_set_include_authorized_operations(options, 1);
        if !refused.is_null() {
            native::rd_kafka_error_destroy(refused);
        }
        let queue = native::rd_kafka_queue_new(client);
        send(client, options, queue);
        let event = native::rd_kafka_queue_poll(queue, wait_ms + 1_000);
        native::rd_kafka_queue_destroy(queue);
        native::rd_kafka_AdminOptions_destroy(options);
        if event.is_null() {
            return Err(RDKafkaErrorCode::OperationTimedOut);
        }
        let event = Event(event);
        match native::rd_kafka_event_error(event.0) {
            Code::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(event),
            code => Err(code.into()),
        }
    }
}

/// # Safety
/// `topic` must be alive.
unsafe fn topic_of(topic: *const native::rd_kafka_TopicDescription_t) -> Description {
    // SAFETY: as promised; lists belong to the topic.
    unsafe {
        let (mut partition_count, mut allowed_count) = (0, 0);
        let partitions = native::rd_kafka_TopicDescription_partitions(topic, &mut partition_count);
        let allowed = native::rd_kafka_TopicDescription_authorized_operations(topic, &mut allowed_count);
        let replicas_of = |partition: &*const native::rd_kafka_TopicPartitionInfo_t| {
            let mut count = 0;
            native::rd_kafka_TopicPartitionInfo_replicas(*partition, &mut count);
            count
        };
        Description {
            name: CStr::from_ptr(native::rd_kafka_TopicDescription_name(topic)).to_string_lossy().into_owned(),
            error: code_of(native::rd_kafka_TopicDescription_error(topic)),
            id: id_of(native::rd_kafka_TopicDescription_topic_id(topic)),
            replicas: slice(partitions, partition_count).iter().map(replicas_of).collect(),
            allowed: (!allowed.is_null()).then(|| slice(allowed, allowed_count).to_vec()),
            members: Vec::new(),
        }
    }
}

/// The identifier as Kafka's tools write it.
///
/// # Safety
/// `id` must be null or alive.
unsafe fn id_of(id: *const native::rd_kafka_Uuid_t) -> String {
    // SAFETY: as promised; the text belongs to the id.
    unsafe {
        let is_none = id.is_null()
            || native::rd_kafka_Uuid_most_significant_bits(id) == 0
                && native::rd_kafka_Uuid_least_significant_bits(id) == 0;
        if is_none {
            return String::new();
        }
        CStr::from_ptr(native::rd_kafka_Uuid_base64str(id)).to_string_lossy().into_owned()
    }
}

/// A member's name (its own if it has one) and host.
///
/// # Safety
/// `member` must be alive.
unsafe fn member_of(member: *const native::rd_kafka_MemberDescription_t) -> String {
    let text = |text: *const c_char| {
        // SAFETY: null, or a text that belongs to the member.
        (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
    };
    // SAFETY: as promised.
    unsafe {
        let name = text(native::rd_kafka_MemberDescription_group_instance_id(member));
        let name = name.or_else(|| text(native::rd_kafka_MemberDescription_consumer_id(member))).unwrap_or_default();
        format!("{name} at {}", text(native::rd_kafka_MemberDescription_host(member)).unwrap_or_default())
    }
}

/// # Safety
/// `error` must be null or alive.
unsafe fn code_of(error: *const native::rd_kafka_error_t) -> Option<RDKafkaErrorCode> {
    // SAFETY: as promised.
    let code =
        if error.is_null() { Code::RD_KAFKA_RESP_ERR_NO_ERROR } else { unsafe { native::rd_kafka_error_code(error) } };
    (code != Code::RD_KAFKA_RESP_ERR_NO_ERROR).then(|| code.into())
}

/// # Safety
/// `first` must be null or point to `count` items.
unsafe fn slice<'a, T>(first: *const T, count: usize) -> &'a [T] {
    // SAFETY: as promised.
    if first.is_null() { &[] } else { unsafe { std::slice::from_raw_parts(first, count) } }
}

fn c_string(text: &str) -> Result<CString, String> {
    CString::new(text).map_err(|_| "the text contains a zero byte".to_owned())
}
