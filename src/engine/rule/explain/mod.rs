//! Changes explained: which comparisons led to one, and what the customer's next change will be (R9).

pub mod reasons;

pub mod forecast;
