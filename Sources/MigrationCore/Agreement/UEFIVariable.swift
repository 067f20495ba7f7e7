/// One variable of the firmware.
public struct UEFIVariable: Hashable, Sendable {
  /// Bits of a variable's attributes (UEFI specification, 8.2).
  public struct Attributes: OptionSet, Hashable, Sendable {
    public let rawValue: UInt32

    public init(rawValue: UInt32) { self.rawValue = rawValue }

    public static let nonVolatile = Attributes(rawValue: 1 << 0)
    public static let bootService = Attributes(rawValue: 1 << 1)
    /// The operating system can read it.
    public static let runtime = Attributes(rawValue: 1 << 2)
  }

  /// The name of the variable by which the firmware says that it keeps the hypervisor informed about pages.
  public static let liveMigration = "SevLiveMigrationEnabled"

  public let name: String
  public let vendor: EFIGUID
  public let attributes: Attributes
  public let data: [UInt8]

  public init(name: String, vendor: EFIGUID, attributes: Attributes, data: [UInt8]) {
    self.name = name
    self.vendor = vendor
    self.attributes = attributes
    self.data = data
  }
}
