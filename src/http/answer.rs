//! Which path is answered to whom, and with what.
//!
//! A path that is not in the table is not there, so none is served that nobody thought about who may ask for it.

use super::View;
use super::health::{self, Seen, Verdict};
use super::token::{Role, Tokens};
use crate::metrics::{self, table};
use axum::body::{Body, HttpBody, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use prometheus::{IntCounterVec, Opts, TEXT_FORMAT};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Nothing that is asked here needs a body.
pub const BODY_BYTES_MAX: usize = 1_024;
/// From the last byte of a request's head to the first of its answer.
pub const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);

/// Answers by status.
const REQUESTS: &str = "shoal_admin_requests_total";

/// All paths, and the role that each needs.
const PATHS: [(&str, Option<Role>); 6] = [
    ("/", None),
    ("/livez", None),
    ("/readyz", None),
    ("/startupz", None),
    ("/metrics", Some(Role::Metrics)),
    ("/shards", Some(Role::Admin)),
];

/// What answers are made of.
pub struct Desk {
    pub view: View,
    pub tokens: Tokens,
    /// Answers by status.
    requests: IntCounterVec,
    /// It was once: starting happens once.
    has_started: AtomicBool,
}

impl Desk {
    /// # Errors
    /// If the registry has such a metric already.
    pub fn new(view: View, tokens: Tokens) -> prometheus::Result<Self> {
        let help = table::find(REQUESTS).expect("in the table").help;
        let requests = IntCounterVec::new(Opts::new(REQUESTS, help), &["code"])?;
        view.registry.register(Box::new(requests.clone()))?;
        Ok(Self { view, tokens, requests, has_started: AtomicBool::new(false) })
    }

    fn workers(&self) -> Vec<Seen> {
        self.view
            .boards
            .iter()
            .map(|board| Seen { age: board.written().map(|at| at.elapsed()), report: board.report() })
            .collect()
    }

    fn is_stopping(&self) -> bool {
        self.view.stop.load(Ordering::Relaxed)
    }
}

/// All paths behind what every request must pass.
pub fn router(desk: Arc<Desk>) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/startupz", get(startupz))
        .route("/metrics", get(all_metrics))
        .route("/shards", get(shards))
        .method_not_allowed_fallback(not_allowed)
        .layer(middleware::from_fn_with_state(Arc::clone(&desk), admit))
        .with_state(desk)
}

/// Lets a request through to its path, or says why not.
async fn admit(State(desk): State<Arc<Desk>>, request: Request, next: Next) -> Response {
    let Ok(mut response) = tokio::time::timeout(ANSWER_TIME_MAX, pass(&desk, request, next)).await else {
        return counted(&desk, fault(StatusCode::REQUEST_TIMEOUT, "the request took too long"));
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    counted(&desk, response)
}

fn counted(desk: &Desk, response: Response) -> Response {
    desk.requests.with_label_values(&[response.status().as_str()]).inc();
    response
}

async fn pass(desk: &Desk, request: Request, next: Next) -> Response {
    let Some((_, needed)) = PATHS.iter().find(|(path, _)| *path == request.uri().path()) else {
        return fault(StatusCode::NOT_FOUND, "there is no such path; GET / lists those there are");
    };
    if let Some(needed) = needed.filter(|_| !desk.tokens.are_none())
        && let Some(refused) = refusal(&desk.tokens, &request, needed)
    {
        return refused;
    }
    let (head, body) = request.into_parts();
    if body.size_hint().lower() > BODY_BYTES_MAX as u64 || to_bytes(body, BODY_BYTES_MAX).await.is_err() {
        return fault(StatusCode::PAYLOAD_TOO_LARGE, "no body is expected");
    }
    next.run(Request::from_parts(head, Body::empty())).await
}

/// Why a request may not be answered; `None` if it shows a token that allows it.
fn refusal(tokens: &Tokens, request: &Request, needed: Role) -> Option<Response> {
    match bearer(request).and_then(|token| tokens.role_of(token)) {
        Some(role) if role >= needed => None,
        Some(_) => Some(fault(StatusCode::FORBIDDEN, "the token does not allow this")),
        None => {
            let mut refused = fault(StatusCode::UNAUTHORIZED, "expected the header `Authorization: Bearer TOKEN`");
            refused.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"shoal\""));
            Some(refused)
        }
    }
}

/// The token that a request shows; none if it shows several.
fn bearer(request: &Request) -> Option<&[u8]> {
    let mut all = request.headers().get_all(header::AUTHORIZATION).iter();
    let (value, another) = (all.next()?, all.next());
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    (another.is_none() && scheme.eq_ignore_ascii_case("bearer")).then(|| token.trim().as_bytes())
}

fn fault(status: StatusCode, words: &str) -> Response {
    (status, Json(json!({ "error": words }))).into_response()
}

async fn not_allowed() -> Response {
    let mut refused = fault(StatusCode::METHOD_NOT_ALLOWED, "expected GET or HEAD");
    refused.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    refused
}

fn told(verdict: Verdict) -> Response {
    let status = if verdict.is_ok() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(verdict)).into_response()
}

async fn index() -> Json<Value> {
    let paths = PATHS.map(|(path, role)| match role {
        None => json!({ "path": path }),
        Some(Role::Metrics) => json!({ "path": path, "role": "metrics" }),
        Some(Role::Admin) => json!({ "path": path, "role": "admin" }),
    });
    Json(json!({ "service": "shoal", "version": env!("CARGO_PKG_VERSION"), "paths": paths }))
}

async fn livez(State(desk): State<Arc<Desk>>) -> Response {
    told(health::alive(&desk.workers(), desk.is_stopping()))
}

async fn readyz(State(desk): State<Arc<Desk>>) -> Response {
    told(health::ready(&desk.workers(), desk.is_stopping()))
}

async fn startupz(State(desk): State<Arc<Desk>>) -> Response {
    let verdict = match desk.has_started.load(Ordering::Relaxed) {
        true => health::started(&[]),
        false => health::started(&desk.workers()),
    };
    desk.has_started.fetch_or(verdict.is_ok(), Ordering::Relaxed);
    told(verdict)
}

async fn all_metrics(State(desk): State<Arc<Desk>>) -> Response {
    match metrics::text(&desk.view.registry) {
        Ok(text) => ([(header::CONTENT_TYPE, TEXT_FORMAT)], text).into_response(),
        Err(error) => {
            tracing::error!("admin address: the metrics cannot be written: {error}");
            fault(StatusCode::INTERNAL_SERVER_ERROR, "the metrics cannot be written; the log says why")
        }
    }
}

/// Every shard that the workers hold, for whoever looks after them.
async fn shards(State(desk): State<Arc<Desk>>) -> Json<Value> {
    let workers = desk.workers();
    let shards = workers.iter().enumerate().flat_map(|(worker, seen)| {
        seen.report.shards.iter().map(move |(shard, found)| {
            json!({
                "shard": shard,
                "worker": worker,
                "phase": found.phase.to_string(),
                "since": health::moment(found.since),
                "transaction": found.transaction,
                "progress": found.advance.map(health::Progress::from),
            })
        })
    });
    let rules: Vec<_> = workers.iter().filter_map(|seen| seen.report.rules_version.clone()).collect();
    let expected = workers.iter().map(|seen| seen.report.shards_expected).max();
    Json(json!({ "shards": shards.collect::<Vec<_>>(), "shards_expected": expected, "rules_versions": rules }))
}
