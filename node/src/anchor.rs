//! Anchoring (scaffold until the service is merged).

/// Handle.
#[derive(Clone, Default)]
pub struct AnchorHandle;

impl AnchorHandle {
    /// Takes items.
    ///
    /// # Errors
    /// None.
    pub async fn enqueue(&self, _items: Vec<weft_protocol::ans104::DataItem>) -> Result<(), String> {
        Ok(())
    }

    /// Summary.
    pub async fn summary(&self) -> u32 {
        0
    }
}
