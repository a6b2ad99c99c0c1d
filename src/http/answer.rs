//! The paths of the admin address: who may request each of them, and the answers.
//!
//! A path that is not in the table of paths and roles does not exist, so that no path is served without a decision on
//! who may request it.

use super::ProcessView;
use super::health::{self, ObservedWorker, Verdict};
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
use std::time::{Duration, Instant};

/// Maximum size of a request body; no path needs one.
pub const BODY_BYTES_MAX: usize = 1_024;
/// Maximum time from the last byte of a request's headers to the first byte of its answer.
pub const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);

/// The counter of answers by status.
const REQUESTS: &str = "shoal_admin_requests_total";

/// All paths, and the role that each requires.
const PATHS: [(&str, Option<Role>); 6] = [
    ("/", None),
    ("/livez", None),
    ("/readyz", None),
    ("/startupz", None),
    ("/metrics", Some(Role::Metrics)),
    ("/shards", Some(Role::Admin)),
];

/// What the answers are made from.
pub struct AdminState {
    pub view: ProcessView,
    pub tokens: Tokens,
    /// Answers by status.
    requests: IntCounterVec,
    /// Whether the process has ever been started: it stays started.
    has_started: AtomicBool,
}

impl AdminState {
    /// # Errors
    /// If the registry has this metric already.
    pub fn new(view: ProcessView, tokens: Tokens) -> prometheus::Result<Self> {
        let help = table::find(REQUESTS).expect("in the table").help;
        let requests = IntCounterVec::new(Opts::new(REQUESTS, help), &["code"])?;
        view.registry.register(Box::new(requests.clone()))?;
        Ok(Self { view, tokens, requests, has_started: AtomicBool::new(false) })
    }

    fn workers(&self) -> Vec<ObservedWorker> {
        self.view
            .statuses
            .iter()
            .map(|status| ObservedWorker {
                age: status.written().map(|at| at.elapsed()),
                report: status.report(),
                waits_for: status.waits_for(),
            })
            .collect()
    }

    fn is_stopping(&self) -> bool {
        self.view.stop.load(Ordering::Relaxed)
    }
}

/// All paths, behind the checks that every request must pass.
pub fn router(state: Arc<AdminState>) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/startupz", get(startupz))
        .route("/metrics", get(all_metrics))
        .route("/shards", get(shards))
        .method_not_allowed_fallback(not_allowed)
        .layer(middleware::from_fn_with_state(Arc::clone(&state), checked))
        .with_state(state)
}

/// Checks a request and answers it, within a bounded time.
async fn checked(State(state): State<Arc<AdminState>>, request: Request, next: Next) -> Response {
    let Ok(mut response) = tokio::time::timeout(ANSWER_TIME_MAX, answer(&state, request, next)).await else {
        return counted(&state, failure(StatusCode::REQUEST_TIMEOUT, "the request took too long"));
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    counted(&state, response)
}

fn counted(state: &AdminState, response: Response) -> Response {
    state.requests.with_label_values(&[response.status().as_str()]).inc();
    response
}

async fn answer(state: &AdminState, request: Request, next: Next) -> Response {
    let Some((_, required)) = PATHS.iter().find(|(path, _)| *path == request.uri().path()) else {
        return failure(StatusCode::NOT_FOUND, "there is no such path; GET / lists all paths");
    };
    if let Some(required) = required.filter(|_| !state.tokens.are_none())
        && let Some(refused) = refusal(&state.tokens, &request, required)
    {
        return refused;
    }
    let (head, body) = request.into_parts();
    if body.size_hint().lower() > BODY_BYTES_MAX as u64 || to_bytes(body, BODY_BYTES_MAX).await.is_err() {
        return failure(StatusCode::PAYLOAD_TOO_LARGE, "expected a request without a body");
    }
    next.run(Request::from_parts(head, Body::empty())).await
}

/// The answer to a request that is not authorised; `None` if it has a token for the required role.
fn refusal(tokens: &Tokens, request: &Request, required: Role) -> Option<Response> {
    match bearer(request).and_then(|token| tokens.role_of(token)) {
        Some(role) if role >= required => None,
        Some(_) => Some(failure(StatusCode::FORBIDDEN, "the token does not have the required role")),
        None => {
            let mut refused = failure(StatusCode::UNAUTHORIZED, "expected the header `Authorization: Bearer TOKEN`");
            refused.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"shoal\""));
            Some(refused)
        }
    }
}

/// The bearer token of a request; none if it has several `Authorization` headers.
fn bearer(request: &Request) -> Option<&[u8]> {
    let mut all = request.headers().get_all(header::AUTHORIZATION).iter();
    let (value, another) = (all.next()?, all.next());
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    (another.is_none() && scheme.eq_ignore_ascii_case("bearer")).then(|| token.trim().as_bytes())
}

fn failure(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({ "error": message }))).into_response()
}

async fn not_allowed() -> Response {
    let mut refused = failure(StatusCode::METHOD_NOT_ALLOWED, "expected GET or HEAD");
    refused.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    refused
}

fn verdict_answer(verdict: Verdict) -> Response {
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

async fn livez(State(state): State<Arc<AdminState>>) -> Response {
    verdict_answer(health::alive(&state.workers(), state.is_stopping()))
}

async fn readyz(State(state): State<Arc<AdminState>>) -> Response {
    let rejected = state.view.statuses.first().map(|status| status.rejects().recent(Instant::now()).into());
    verdict_answer(Verdict { rejected, ..health::ready(&state.workers(), state.is_stopping()) })
}

async fn startupz(State(state): State<Arc<AdminState>>) -> Response {
    let verdict = match state.has_started.load(Ordering::Relaxed) {
        true => health::started(&[]),
        false => health::started(&state.workers()),
    };
    state.has_started.fetch_or(verdict.is_ok(), Ordering::Relaxed);
    verdict_answer(verdict)
}

async fn all_metrics(State(state): State<Arc<AdminState>>) -> Response {
    match metrics::text(&state.view.registry) {
        Ok(text) => ([(header::CONTENT_TYPE, TEXT_FORMAT)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "admin address: the metrics cannot be encoded");
            failure(StatusCode::INTERNAL_SERVER_ERROR, "the metrics cannot be encoded; the log contains the reason")
        }
    }
}

/// Every shard that the workers own, for operators.
async fn shards(State(state): State<Arc<AdminState>>) -> Json<Value> {
    let workers = state.workers();
    let shards = workers.iter().enumerate().flat_map(|(worker, seen)| {
        seen.report.shards.iter().map(move |(shard, found)| {
            json!({
                "shard": shard,
                "worker": worker,
                "phase": found.phase.to_string(),
                "since": health::moment(found.since),
                "transaction": found.transaction,
                "progress": found.progress.map(health::Progress::from),
            })
        })
    });
    let rules: Vec<_> = workers.iter().filter_map(|seen| seen.report.rules_version.clone()).collect();
    let expected = workers.iter().map(|seen| seen.report.shards_expected).max();
    Json(json!({ "shards": shards.collect::<Vec<_>>(), "shards_expected": expected, "rules_versions": rules }))
}
