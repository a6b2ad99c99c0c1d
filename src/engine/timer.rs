use super::event::Millis;
pub struct Wheel;
impl Wheel {
    pub const ROUNDING_MAX: Millis = 1024;
    pub fn new(_: Millis) -> Self {
        Wheel
    }
    pub fn insert(&mut self, _: u32, _: Millis) {}
    pub fn advance(&mut self, _: Millis, _: usize, _: &mut Vec<(u32, Millis)>) -> usize {
        0
    }
    pub fn next_due(&self) -> Option<Millis> {
        None
    }
}
