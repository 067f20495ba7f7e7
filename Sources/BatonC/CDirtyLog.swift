import Baton
import BatonWire
import CBaton
import RemoteMigration

/// The functions of a `baton_source` that follow what a guest writes.
///
/// SAFETY: they can be called until the migration is over, as baton.h asks, and are called by the thread that is in a
/// call of the library.
@safe struct CDirtyLog {
  private let context: UnsafeMutableRawPointer?
  private let begin: @convention(c) (UnsafeMutableRawPointer?) -> Int32
  private let take: @convention(c) (UnsafeMutableRawPointer?, UnsafeMutablePointer<UInt64>?, Int) -> Int32
  private let end: @convention(c) (UnsafeMutableRawPointer?) -> Void

  /// - Throws: ``Participant/Failure/unusable(_:)``.
  init(_ source: baton_source) throws {
    guard let begin = unsafe source.start_dirty_log, let take = unsafe source.take_dirty_pages,
      let end = unsafe source.stop_dirty_log
    else { throw Participant.Failure.unusable("a function of the dirty log is missing") }
    unsafe context = source.context
    unsafe self.begin = begin
    unsafe self.take = take
    unsafe self.end = end
  }

  func start() throws(MigrationFailure) { try check("begun", unsafe begin(context)) }

  func take(into pages: inout PageBitmap) throws(MigrationFailure) {
    var result: Int32 = 0
    pages.formUnion { words in
      // KVM_GET_DIRTY_LOG overwrites, and what was written before must not be forgotten.
      var written = [UInt64](repeating: 0, count: words.count)
      unsafe written.withUnsafeMutableBufferPointer {
        unsafe result = take(context, $0.baseAddress, $0.count)
      }
      for (index, word) in written.enumerated() { words[index] |= word }
    }
    try check("read", result)
  }

  func stop() { unsafe end(context) }

  private func check(_ what: String, _ result: Int32) throws(MigrationFailure) {
    guard result < 0 else { return }
    throw MigrationFailure(
      .sourceDeclined, "the log of the guest's writes could not be \(what): errno \(result.magnitude)")
  }
}
