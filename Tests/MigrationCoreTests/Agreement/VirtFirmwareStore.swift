/// A store as virt-firmware 26.10 wrote it (`virt-fw-vars -i empty.fd --set-json set.json`), with the variable
/// SevLiveMigrationEnabled set to true. `Tests/Firmware/run` makes such stores anew, from OVMF's own files.
enum VirtFirmwareStore {
  /// 8,192 bytes: the volume of two blocks that ``StoreBuilder`` makes, and the record.
  static let bytes: [UInt8] = {
    let written = stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
    return written + [UInt8](repeating: 0xFF, count: 8192 - written.count)
  }()

  private static let digits: [UInt8] =
    """
    000000000000000000000000000000008d2bf1ff96768b4ca9852747075b4f5000200000000000005f465648fffe0400
    480039d90000000202000000001000000000000000000000782cf3aa7b949a43a1802e144ec37792b80f00005afe0000
    00000000aa553f0007000000000000000000000000000000000000000000000000000000000000003000000001000000
    719bf20c519e3a43a3b781f3ab16b8755300650076004c006900760065004d006900670072006100740069006f006e00
    45006e00610062006c0065006400000001ff
    """.compactMap { $0.hexDigitValue.map(UInt8.init) }
}
