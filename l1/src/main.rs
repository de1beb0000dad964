//! The image: L1 as `build.rs` links it. Execution begins in `machine/boot.rs`.
#![no_std]
#![no_main]

use core::panic::PanicInfo;

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    l1::panicked(info)
}
