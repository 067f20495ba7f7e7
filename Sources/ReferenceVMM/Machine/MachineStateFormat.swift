/// The versions of saved machine state: a binary reads its own and the one before.
public enum MachineStateFormat {
  /// What is written unless the successor reads only an older one. Format 2 added the console output
  /// that nobody had read yet.
  public static let current: UInt16 = 2
  /// The oldest format that is read.
  public static let oldest: UInt16 = 1

  /// What a state needs to be understood; a bit that the reader does not know is a refusal.
  public enum Feature {
    public static let softwareVCPUs: UInt64 = 1 << 0
    public static let kvmVCPUs: UInt64 = 1 << 1
    /// The guest writes to a disk.
    public static let disk: UInt64 = 1 << 2
    /// Console output is waiting (format 2).
    public static let pendingConsole: UInt64 = 1 << 3
    /// The guest's memory is encrypted, and it has said which pages are shared (format 2).
    public static let memoryStatus: UInt64 = 1 << 4
  }

  /// Every feature this binary reads.
  public static let knownFeatures: UInt64 =
    Feature.softwareVCPUs | Feature.kvmVCPUs | Feature.disk | Feature.pendingConsole
    | Feature.memoryStatus

  /// Whether this binary reads state of that format with those features (preflight asks this for
  /// the other binary's numbers).
  public static func isReadable(format: UInt16, features: UInt64) -> Bool {
    format >= oldest && format <= current && features & ~knownFeatures == 0
  }
}
