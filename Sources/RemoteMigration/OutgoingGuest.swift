/// What the source of a migration asks of its VMM. All calls come from the thread that steps the migration.
public protocol OutgoingGuest: AnyObject {
  var ram: GuestRAM { get }
  /// nil for a guest whose memory the host reads.
  var encryption: (any OutgoingEncryption)? { get }

  /// Pages that may hold something else than zeros; nil if nobody knows.
  ///
  /// - Complexity: O(runs of pages), without reading them.
  func populatedPages() -> PageBitmap?

  /// Begins to note which pages are written. The guest runs on.
  func startDirtyLog() throws(MigrationFailure)

  /// Adds the pages written since the last call, or since the begin, and forgets them.
  func takeDirtyPages(into pages: inout PageBitmap) throws(MigrationFailure)

  func stopDirtyLog()
}
