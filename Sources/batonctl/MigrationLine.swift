import RegistryInterface

/// A line of `migrate --json`.
struct MigrationLine: Encodable {
  enum Kind: String, Encodable {
    /// The plan, once it is made.
    case plan
    /// How the migration stands.
    case progress
    /// The end; the last line.
    case end
  }

  var type: Kind
  var guest: String
  var host: String
  /// In `plan` and `progress`, and in `end` if there was one.
  var migration: Migration?
  /// In `end`: moved, stayed, ….
  var outcome: MigrationEnd?
  /// In `end`.
  var exitStatus: Int32?
  /// In `end`: the error line.
  var error: String?
  /// In `end`, when the guest was moved: what was foretold, and what it came to.
  var predicted: MigrationSummary.Figures?
  var real: MigrationSummary.Figures?
  /// In `end` of an upgrade: which refusal led to the migration.
  var fallbackFrom: String?
}
