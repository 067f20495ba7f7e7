/// Seals of a memfd, as in fcntl(2) `F_ADD_SEALS`.
public struct Seals: OptionSet, Hashable, Sendable {
  public let rawValue: Int32
  public init(rawValue: Int32) { self.rawValue = rawValue }
  /// No further seal may be added.
  public static let seal = Seals(rawValue: 1)
  public static let shrink = Seals(rawValue: 2)
  public static let grow = Seals(rawValue: 4)
  /// Contents can never change again; refused (`EBUSY`) while a writable mapping exists.
  public static let write = Seals(rawValue: 8)

  /// What guest RAM carries: its size is fixed for ever and nobody can add a write seal.
  public static let ram: Seals = [.shrink, .grow, .seal]
  /// What saved state carries: size and contents are fixed for ever.
  public static let state: Seals = [.shrink, .grow, .write, .seal]
}
