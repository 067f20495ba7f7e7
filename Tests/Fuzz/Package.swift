// swift-tools-version: 6.2
import PackageDescription

/// Coverage-guided fuzzing of every decoder and pure machine. A package of its own, so that an ordinary
/// `swift test` never needs the sanitizer flags that libFuzzer brings its `main` with. `./run` builds it.
let settings: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .strictMemorySafety(),
  .treatAllWarnings(as: .error),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
]

func product(_ name: String) -> Target.Dependency { .product(name: name, package: "baton") }

/// - Parameter support: Further targets of this package.
func fuzzer(_ name: String, _ products: [String], support: [String] = []) -> Target {
  .executableTarget(
    name: "fuzz-\(name)",
    dependencies: ["FuzzSupport"] + support.map { .target(name: $0) } + products.map(product),
    path: "Targets/\(name)", swiftSettings: settings + [.unsafeFlags(["-parse-as-library"])])
}

let package = Package(
  name: "baton-fuzz",
  dependencies: [.package(name: "baton", path: "../..")],
  targets: [
    .target(name: "FuzzSupport", path: "Support", swiftSettings: settings),
    .target(
      name: "SEVFuzzSupport", dependencies: [product("SEVModel")], path: "SEVSupport",
      swiftSettings: settings),
    fuzzer("records", ["BatonWire"]),
    fuzzer("journal", ["BatonCore", "BatonWire"]),
    fuzzer("registry", ["BatonCore", "BatonWire"]),
    fuzzer("varlink", ["Varlink", "RegistryInterface"]),
    fuzzer("machineState", ["EncryptionStatus", "ReferenceVMM", "KVM"]),
    fuzzer("sevStructures", ["SEVABI"]),
    fuzzer("sevCommands", ["SEVModel", "SEVABI"], support: ["SEVFuzzSupport"]),
    fuzzer("sevBlobs", ["SEVModel", "SEVCertificates", "SEVABI"], support: ["SEVFuzzSupport"]),
    fuzzer("certificates", ["SEVModel", "SEVCertificates", "SEVABI"]),
    fuzzer("variableStore", ["MigrationCore"]),
    // The sidecar's lines alone, by a link to their folder: the module around them brings a TLS library.
    fuzzer("remoteLines", ["BatonWire"]),
    fuzzer("libraryCalls", ["BatonC", "Baton", "BatonWire", "MigrationCore", "RemoteMigration"]),
    fuzzer("migrationStream", ["MigrationCore", "BatonWire", "EncryptionStatus", "SEVCertificates"]),
  ]
)
