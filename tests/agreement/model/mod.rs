//! The naive model: everything that the semantics page says about one shard, in the plainest way.
//!
//! It keeps every accepted event and evaluates every rule at every instant at which something could turn. It shares no
//! code with the engine; it was written from the page alone, so where the two agree the page is what both do.

pub mod cart;
pub mod change;
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
