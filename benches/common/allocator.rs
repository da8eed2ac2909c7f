//! The allocator of the server, so that what a machine allocates costs here what it costs there.

#[cfg(feature = "runtime")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
