//! Local files that survive a power cut once they are written: the object store of the embedded lake.
//!
//! `object_store`'s local files are atomic and never synced. This one writes the same way (a staging file, then a rename,
//! or a link where the name must be new) and syncs file and folders before it says done. Reading, listing and deleting are
//! left to it: a deletion that a crash undoes leaves a file that nothing names.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path as FsPath, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, RenameOptions, Result, UploadPart,
};

/// The local file system, synced.
#[derive(Debug, Default)]
pub(crate) struct DurableFiles {
    inner: LocalFileSystem,
}

impl fmt::Display for DurableFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("durable local files")
    }
}

#[async_trait]
impl ObjectStore for DurableFiles {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let create = match opts.mode {
            PutMode::Create => true,
            PutMode::Overwrite => false,
            // The inner one says that it can't.
            PutMode::Update(_) => return self.inner.put_opts(location, payload, opts).await,
        };
        let path = self.inner.path_to_filesystem(location)?;
        blocking(move || write(&path, &payload, create)).await?;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let path = self.inner.path_to_filesystem(location)?;
        let folder = path.clone();
        blocking(move || make_folder_of(&folder)).await?;
        let inner = self.inner.put_multipart_opts(location, opts).await?;
        Ok(Box::new(DurableUpload { inner, path }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await?;
        let path = self.inner.path_to_filesystem(to)?;
        blocking(move || sync(&path)).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.inner.rename_opts(from, to, options).await?;
        let path = self.inner.path_to_filesystem(to)?;
        blocking(move || sync(&path)).await
    }
}

#[derive(Debug)]
struct DurableUpload {
    inner: Box<dyn MultipartUpload>,
    path: PathBuf,
}

#[async_trait]
impl MultipartUpload for DurableUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.inner.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let result = self.inner.complete().await?;
        let path = self.path.clone();
        blocking(move || sync(&path)).await?;
        Ok(result)
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}

/// Runs file work off the async threads.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|source| object_store::Error::JoinError { source })?
}

fn failed(path: &FsPath) -> impl Fn(io::Error) -> object_store::Error {
    move |source| object_store::Error::Generic {
        store: "durable local files",
        source: format!("{}: {source}", path.display()).into(),
    }
}

/// Writes a file whole and durably. With `create` the name must be new, and of several writers exactly one wins.
fn write(path: &FsPath, payload: &PutPayload, create: bool) -> Result<()> {
    let failed = failed(path);
    make_folder_of(path)?;
    let (staging, mut file) = stage(path).map_err(&failed)?;
    let written = payload.iter().try_for_each(|part| file.write_all(part)).and_then(|()| file.sync_all());
    drop(file);
    let named = written.and_then(|()| if create { fs::hard_link(&staging, path) } else { fs::rename(&staging, path) });
    if create || named.is_err() {
        // A leftover is harmless: listings skip names that end in `#` and digits.
        let _ = fs::remove_file(&staging);
    }
    match named {
        Ok(()) => sync_folder_of(path).map_err(failed),
        Err(source) if create && source.kind() == io::ErrorKind::AlreadyExists => {
            Err(object_store::Error::AlreadyExists { path: path.display().to_string(), source: source.into() })
        }
        Err(source) => Err(failed(source)),
    }
}

/// A new file beside `path`, named as `object_store` names its own: it leaves such names out of listings.
fn stage(path: &FsPath) -> io::Result<(PathBuf, File)> {
    for n in 1.. {
        let mut name = path.as_os_str().to_owned();
        name.push(format!("#{n}"));
        let staging = PathBuf::from(name);
        match OpenOptions::new().write(true).create_new(true).open(&staging) {
            Ok(file) => return Ok((staging, file)),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
        }
    }
    unreachable!("the numbers do not end")
}

/// Makes the folders above `path` that are missing; a new one is durable once the folder that names it is synced.
fn make_folder_of(path: &FsPath) -> Result<()> {
    fn make(folder: &FsPath) -> io::Result<()> {
        if folder.is_dir() {
            return Ok(());
        }
        let Some(parent) = folder.parent() else { return Ok(()) };
        make(parent)?;
        match fs::create_dir(folder) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(e),
            _ => File::open(parent)?.sync_all(),
        }
    }
    path.parent().map_or(Ok(()), |folder| make(folder).map_err(failed(folder)))
}

fn sync(path: &FsPath) -> Result<()> {
    File::open(path).and_then(|file| file.sync_all()).and_then(|()| sync_folder_of(path)).map_err(failed(path))
}

fn sync_folder_of(path: &FsPath) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::TryStreamExt;
    use object_store::{ObjectStoreExt, PutMode};

    use super::*;

    fn at(dir: &tempfile::TempDir, name: &str) -> Path {
        Path::from_absolute_path(dir.path().join(name)).unwrap()
    }

    #[tokio::test]
    async fn of_many_writers_of_one_name_exactly_one_wins() {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(DurableFiles::default());
        for round in 0..20 {
            let path = at(&dir, &format!("log/{round}.json"));
            let tries = (0..8u8).map(|i| {
                let (store, path) = (store.clone(), path.clone());
                tokio::spawn(
                    async move { store.put_opts(&path, vec![i].into(), PutMode::Create.into()).await.is_ok().then_some(i) },
                )
            });
            let winners: Vec<u8> = futures::future::join_all(tries).await.into_iter().filter_map(|r| r.unwrap()).collect();
            let bytes = store.get(&path).await.unwrap().bytes().await.unwrap();
            assert_eq!(bytes.as_ref(), winners.as_slice());
        }
        let names: Vec<_> = store.list(Some(&at(&dir, "log"))).try_collect().await.unwrap();
        assert_eq!(names.len(), 20);
        assert_eq!(std::fs::read_dir(dir.path().join("log")).unwrap().count(), 20, "no staging file is left");
    }

    #[tokio::test]
    async fn writing_again_replaces_and_parts_arrive_whole() {
        let dir = tempfile::tempdir().unwrap();
        let store = DurableFiles::default();
        let path = at(&dir, "a/b/c");
        store.put(&path, "one".into()).await.unwrap();
        store.put(&path, "two".into()).await.unwrap();
        assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), "two");
        let mut upload = store.put_multipart(&path).await.unwrap();
        upload.put_part("th".into()).await.unwrap();
        upload.put_part("ree".into()).await.unwrap();
        upload.complete().await.unwrap();
        assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), "three");
    }
}
