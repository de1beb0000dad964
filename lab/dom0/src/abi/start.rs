//! What the first domain finds at its own start: `xen.h`.

/// The beginning of `struct start_info`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct StartInfo {
    /// "xen-3.0-x86_64".
    pub magic: [u8; 32],
    /// Pages of this domain.
    pub nr_pages: u64,
    /// Machine address of [`super::event::SharedInfo`].
    pub shared_info: u64,
    /// Flags.
    pub flags: u32,
    /// Not used.
    pub store_mfn: u64,
    /// Not used.
    pub store_evtchn: u32,
    /// Not used.
    pub console: [u64; 2],
    /// The page tables.
    pub pt_base: u64,
    /// Their pages.
    pub nr_pt_frames: u64,
    /// This domain's pages.
    pub mfn_list: u64,
    /// Where the second module is.
    pub mod_start: u64,
    /// Its bytes.
    pub mod_len: u64,
}
