//! A small disk: an ext4 file system in a file, mounted through a loop device.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use super::process::is_root;
use super::scenario::{Running, Scenario};

/// The mounted file system of a scenario, which has one at most. Dropping it unmounts it.
#[derive(Debug)]
pub(crate) struct LoopDisk {
    mount: PathBuf,
    running: Arc<Running>,
}

impl LoopDisk {
    /// Makes and mounts a disk of `bytes`; `options` are mount options besides `loop`.
    pub(crate) fn mount(test: &Scenario, bytes: usize, options: &str) -> Self {
        assert!(is_root(), "mounting a disk needs root: run `tests/run` as root");
        let image = test.path().join("disk.image");
        let file = File::create(&image).expect("a file for the disk");
        file.set_len(bytes as u64).expect("a sparse file");
        let mount = test.make_directory("disk");
        // No share of the disk is kept for root, who runs the server here: full is full.
        let make = &mut Command::new("/sbin/mkfs.ext4");
        test.run(make.args(["-q", "-m", "0"]).arg(&image), b"").succeeded();
        let command = &mut Command::new("mount");
        command.args(["-o", &format!("loop{options}")]).args([&image, &mount]);
        test.run(command, b"").succeeded();
        let running = Arc::clone(test.running());
        running.add_mount(&mount);
        Self { mount, running }
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> &Path {
        &self.mount
    }

    /// Fills what is left of the disk with a file and returns the file's path.
    pub(crate) fn fill(&self) -> PathBuf {
        use std::io::Write;
        let path = self.mount.join("filler");
        let mut file = File::create(&path).expect("a file on the disk");
        // Ever smaller pieces, so that not even one block stays free.
        for piece_bytes in [1 << 20, 1 << 16, 1 << 12, 1] {
            let piece = vec![0; piece_bytes];
            while file.write_all(&piece).is_ok() {}
        }
        // Whether the disk took the pages is known only now; it may be one too many.
        let _ = file.sync_all();
        path
    }

    /// Bytes that programs can still write.
    pub(crate) fn free_bytes(&self) -> u64 {
        let stat = rustix::fs::statvfs(&self.mount).expect("a mounted disk");
        stat.f_bavail * stat.f_frsize
    }
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        self.running.unmount_all();
    }
}
