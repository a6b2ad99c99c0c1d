//! The naive model: docs/semantics.md for one shard, implemented in the plainest way.
//!
//! It keeps every accepted event and evaluates every rule at every instant at which a comparison could flip. It shares
//! no code with the engine and was written from the page alone: where the two agree, both do what the page says.

pub mod cart;
pub mod change;
pub mod counts;
pub mod customer;
pub mod decode;
pub mod duplicates;
pub mod evaluate;
pub mod expression;
pub mod facts;
pub mod feature;
pub mod instants;
pub mod json;
pub mod marks;
pub mod moment;
pub mod money;
pub mod partition;
pub mod publish;
pub mod rules;
pub mod shard;
pub mod value;
