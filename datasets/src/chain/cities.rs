//! Where the made-up chain lives: real cities, made-up neighbourhoods.

/// A city the chain may open stores in.
#[derive(Debug)]
pub(crate) struct City {
    pub name: &'static str,
    pub region: &'static str,
    pub tier: &'static str,
    pub lat: f64,
    pub lon: f64,
    /// Price level, 1.0 in the capital cities.
    pub price_level: f64,
}

const fn city(name: &'static str, region: &'static str, tier: &'static str, lat: f64, lon: f64, price_level: f64) -> City {
    City { name, region, tier, lat, lon, price_level }
}

/// In the order in which a growing chain enters them.
pub(crate) const CITIES: [City; 12] = [
    city("上海", "华东", "tier_1", 31.2304, 121.4737, 1.0),
    city("杭州", "华东", "new_tier_1", 30.2741, 120.1551, 0.95),
    city("苏州", "华东", "new_tier_1", 31.2990, 120.5853, 0.9),
    city("南京", "华东", "new_tier_1", 32.0603, 118.7969, 0.9),
    city("成都", "西南", "new_tier_1", 30.5728, 104.0668, 0.85),
    city("武汉", "华中", "new_tier_1", 30.5928, 114.3055, 0.85),
    city("深圳", "华南", "tier_1", 22.5431, 114.0579, 1.0),
    city("广州", "华南", "tier_1", 23.1291, 113.2644, 1.0),
    city("北京", "华北", "tier_1", 39.9042, 116.4074, 1.0),
    city("西安", "西北", "new_tier_1", 34.3416, 108.9398, 0.85),
    city("合肥", "华东", "tier_2", 31.8206, 117.2272, 0.8),
    city("长沙", "华中", "tier_2", 28.2282, 112.9388, 0.8),
];

pub(crate) const STREETS: [&str; 16] = [
    "人民路",
    "中山路",
    "建国路",
    "解放路",
    "和平路",
    "新华路",
    "文昌路",
    "学院路",
    "滨江",
    "湖滨",
    "万象城",
    "大悦城",
    "龙湖天街",
    "吾悦广场",
    "银泰",
    "来福士",
];

pub(crate) const ESTATES: [&str; 20] = [
    "阳光", "翠湖", "金色", "绿地", "万科", "碧桂", "东方", "紫金", "春江", "香樟", "锦绣", "御景", "湖畔", "云栖", "枫林",
    "星河", "世纪", "滨河", "梧桐", "玉兰",
];

pub(crate) const ESTATE_ENDINGS: [&str; 8] = ["花园", "家园", "名苑", "华庭", "公馆", "新村", "雅苑", "小区"];

pub(crate) const SURNAMES: [&str; 20] =
    ["王", "李", "张", "刘", "陈", "杨", "赵", "黄", "周", "吴", "徐", "孙", "胡", "朱", "高", "林", "何", "郭", "马", "罗"];

pub(crate) const GIVEN_NAMES: [&str; 20] = [
    "敏", "静", "丽", "娟", "艳", "芳", "娜", "秀英", "玉兰", "欣怡", "梓涵", "雨桐", "佳怡", "晓燕", "婷婷", "雪", "倩", "洁",
    "琳", "颖",
];

/// Great-circle distance in kilometres (haversine, mean radius 6371.0088 km).
pub(crate) fn distance_km(a: (f64, f64), b: (f64, f64)) -> f64 {
    let (lat1, lat2) = (a.0.to_radians(), b.0.to_radians());
    let (dlat, dlon) = (lat2 - lat1, (b.1 - a.1).to_radians());
    let h = (dlat / 2.0).sin().powi(2) + lat1.cos() * lat2.cos() * (dlon / 2.0).sin().powi(2);
    2.0 * 6371.0088 * h.sqrt().asin()
}

/// The place `north_km` and `east_km` away, to six decimals (about 0.1 m).
pub(crate) fn moved(from: (f64, f64), north_km: f64, east_km: f64) -> (f64, f64) {
    let degree_km = 111.195;
    let lat = from.0 + north_km / degree_km;
    let lon = from.1 + east_km / (degree_km * from.0.to_radians().cos());
    ((lat * 1e6).round() / 1e6, (lon * 1e6).round() / 1e6)
}
