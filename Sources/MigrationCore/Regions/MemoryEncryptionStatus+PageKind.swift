public import EncryptionStatus

extension MemoryEncryptionStatus {
  /// How a page travels, unless it is all zeros and shared: through the firmware, or as it is.
  public func kind(ofFrame frame: UInt64) -> PageKind {
    isEncrypted && !regions.contains(frame) ? .encrypted : .plain
  }

  /// Cuts a part of the guest's memory into runs of pages that travel alike.
  public func runs(in frames: Range<UInt64>) -> [(frames: Range<UInt64>, kind: PageKind)] {
    guard isEncrypted else { return frames.isEmpty ? [] : [(frames, .plain)] }
    return regions.runs(in: frames).map { ($0.frames, $0.isShared ? .plain : .encrypted) }
  }
}
