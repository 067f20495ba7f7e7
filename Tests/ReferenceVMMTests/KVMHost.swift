import KVM

/// Whether this host has a KVM that this user may open.
enum KVMHost {
  /// Why tests with real vCPUs are skipped; nil when they run. Said once, loudly.
  static let reasonToSkip: String? = {
    do throws(KVMError) {
      _ = try KVMSystem()
      return nil
    } catch {
      print("SKIPPED: tests with real vCPUs do not run, because \(error)")
      return error.description
    }
  }()

  static var isThere: Bool { reasonToSkip == nil }
}
